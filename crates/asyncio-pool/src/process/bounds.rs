//! Bounds on the reading of a value that another process wrote.
//!
//! The type of the value decides how its bytes are read. A recursive type reads to any depth that the bytes ask for,
//! and the end of the stack ends the process. A sequence of values without bytes, such as `Vec<()>`, has as many
//! elements as its length says. So [`Bounded`] stands between a type and postcard's deserializer, and counts both.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// The stack that the reading of a value may take, in bytes: a quarter of the default stack of a thread in Rust.
pub(crate) const STACK: usize = 512 * 1024;

/// The number of elements that a message may have in addition to one for each of its bytes.
pub(crate) const EMPTY_ELEMENTS: usize = 1 << 20;

/// The bounds of the reading of one value.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The address of the stack where reading began.
    start: usize,
    elements: Cell<usize>,
    exceeded: Cell<Option<&'static str>>,
}

impl Bounds {
    /// The bounds for a body of `length` bytes. The stack counts from here.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            start: stack_address(),
            elements: Cell::new(length.saturating_add(EMPTY_ELEMENTS)),
            exceeded: Cell::new(None),
        }
    }

    /// The bound that ended the reading.
    pub(crate) fn exceeded(&self) -> Option<&'static str> {
        self.exceeded.get()
    }

    fn exceeds<E: Error>(&self, bound: &'static str) -> E {
        self.exceeded.set(Some(bound));
        E::custom(bound)
    }

    /// Looks at the stack before a value within a value is read.
    #[inline]
    fn descend<E: Error>(&self) -> Result<(), E> {
        if stack_address().abs_diff(self.start) > STACK {
            return Err(self.exceeds("it is nested too deeply"));
        }
        Ok(())
    }

    #[inline]
    fn count_elements<E: Error>(&self, count: usize) -> Result<(), E> {
        let Some(left) = self.elements.get().checked_sub(count) else {
            return Err(self.exceeds("it has too many elements without content"));
        };
        self.elements.set(left);
        Ok(())
    }
}

/// An address near the end of this thread's stack.
#[inline(always)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}

/// A part of serde's machinery, with bounds. `COUNTS`: a visitor of a value whose bytes tell the number of its
/// elements. Of other values the type tells it.
pub(crate) struct Bounded<'b, T, const COUNTS: bool = false> {
    inner: T,
    bounds: &'b Bounds,
}

impl<'b, T> Bounded<'b, T> {
    pub(crate) fn new(inner: T, bounds: &'b Bounds) -> Self {
        Self { inner, bounds }
    }
}

impl<'b, T> Bounded<'b, T, true> {
    fn counting(inner: T, bounds: &'b Bounds) -> Self {
        Self { inner, bounds }
    }
}

/// Access to elements, with bounds.
pub(crate) struct Elements<'b, A> {
    inner: A,
    bounds: &'b Bounds,
    /// Whether their number is known: by the type, or because they were counted before the first one, which costs less.
    /// postcard withholds a number that is larger than that of the bytes.
    are_counted: bool,
}

impl<'b, A> Elements<'b, A> {
    #[inline]
    fn new(inner: A, bounds: &'b Bounds) -> Self {
        Self {
            inner,
            bounds,
            are_counted: true,
        }
    }

    #[inline]
    fn counting<E: Error>(inner: A, count: Option<usize>, bounds: &'b Bounds) -> Result<Self, E> {
        if let Some(count) = count {
            bounds.count_elements(count)?;
        }
        Ok(Self {
            are_counted: count.is_some(),
            ..Self::new(inner, bounds)
        })
    }

    #[inline]
    fn count_next<E: Error>(&self) -> Result<(), E> {
        match self.are_counted {
            true => Ok(()),
            false => self.bounds.count_elements(1),
        }
    }
}

/// Methods that read a value without values in it.
macro_rules! plain {
    ($($method:ident)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
                self.inner.$method(visitor)
            }
        )*
    };
}

/// Methods that read a value with others in it.
macro_rules! nested {
    ($bounded:ident: $($method:ident($($argument:ident: $type:ty),*))*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(
                self,
                $($argument: $type,)*
                visitor: V,
            ) -> Result<V::Value, D::Error> {
                self.bounds.descend()?;
                self.inner.$method($($argument,)* Bounded::$bounded(visitor, self.bounds))
            }
        )*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    plain! {
        deserialize_any deserialize_bool deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    nested! { counting: deserialize_seq() deserialize_map() }

    nested! {
        new:
        deserialize_option()
        deserialize_tuple(len: usize)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// postcard's format does not describe itself, so a visitor gets the kind of value that it has asked for. The visitors
/// here have asked for values with others in them.
impl<'de, V: Visitor<'de>, const COUNTS: bool> Visitor<'de> for Bounded<'_, V, COUNTS> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Bounded::new(value, self.bounds))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        let value = Bounded::new(value, self.bounds);
        self.inner.visit_newtype_struct(value)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let count = access.size_hint();
        self.inner.visit_seq(match COUNTS {
            true => Elements::counting(access, count, self.bounds)?,
            false => Elements::new(access, self.bounds),
        })
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let count = access.size_hint();
        self.inner.visit_map(match COUNTS {
            true => Elements::counting(access, count, self.bounds)?,
            false => Elements::new(access, self.bounds),
        })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Bounded::new(access, self.bounds))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Bounded::new(value, self.bounds))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.count_next()?;
        let seed = Bounded::new(seed, self.bounds);
        self.inner.next_element_seed(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.count_next()?;
        let seed = Bounded::new(seed, self.bounds);
        self.inner.next_key_seed(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = Bounded::new(seed, self.bounds);
        self.inner.next_value_seed(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded::new(variant, self.bounds)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.bounds.descend()?;
        let seed = Bounded::new(seed, self.bounds);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = Bounded::new(visitor, self.bounds);
        self.inner.tuple_variant(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = Bounded::new(visitor, self.bounds);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread;

    use serde::{Deserialize, Serialize};

    use super::super::frame::decode;
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Link(Option<Box<Link>>);

    #[derive(Debug, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        Boxed(Box<Tree>),
        Many(Vec<Tree>),
        Pair(Box<Tree>, u8),
        Named { inner: Box<Tree> },
        Mapped(HashMap<u8, Tree>),
    }

    fn on_a_small_stack<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> R {
        let thread = thread::Builder::new().stack_size(2 * 1024 * 1024);
        thread.spawn(run).unwrap().join().unwrap()
    }

    /// Proves that no nesting reads on to the end of the stack, whichever of serde's ways it takes.
    #[test]
    fn a_value_that_is_nested_without_end_is_an_error() {
        on_a_small_stack(|| {
            let error = Err("it is nested too deeply".to_owned());
            assert_eq!(decode::<Link>(&[1; 1 << 20]).map(drop), error);
            let ways: [&[u8]; 5] = [&[1], &[2, 1], &[3], &[4], &[5, 1, 0]];
            for way in ways {
                let bytes = way.repeat((1 << 20) / way.len());
                assert_eq!(decode::<Tree>(&bytes).map(drop), error, "{way:?}");
            }
        });
    }

    /// serde has two forms of an address: a text, and bytes for formats that people do not read.
    #[test]
    fn a_value_is_read_in_the_form_in_which_it_was_written() {
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let bytes = postcard::to_allocvec(&address).unwrap();
        assert_eq!(decode(&bytes), Ok(address));
    }

    #[test]
    fn a_value_of_an_ordinary_depth_is_read() {
        on_a_small_stack(|| {
            let mut chain = vec![1; 200];
            chain.push(0);
            assert!(decode::<Link>(&chain).is_ok());
            let mut tree = Tree::Leaf;
            for _ in 0..20 {
                tree = Tree::Boxed(Box::new(tree));
                tree = Tree::Many(vec![tree, Tree::Leaf]);
                tree = Tree::Pair(Box::new(tree), 7);
                tree = Tree::Named {
                    inner: Box::new(tree),
                };
                tree = Tree::Mapped(HashMap::from([(1, tree)]));
            }
            let bytes = postcard::to_allocvec(&tree).unwrap();
            let read = decode::<Tree>(&bytes).unwrap();
            assert_eq!(postcard::to_allocvec(&read).unwrap(), bytes);
        });
    }

    #[test]
    fn elements_without_bytes_have_a_limit() {
        // The length of a sequence comes before its elements.
        let units = |count: usize| postcard::to_allocvec(&count).unwrap();
        assert_eq!(decode(&units(100_000)), Ok(vec![(); 100_000]));
        let error = "it has too many elements without content".to_owned();
        assert_eq!(decode::<Vec<()>>(&units(usize::MAX)), Err(error));
        let nested = units(EMPTY_ELEMENTS / 2).repeat(10);
        let nested = [&[10][..], &nested].concat();
        assert!(decode::<Vec<Vec<()>>>(&nested).is_err());
    }
}
