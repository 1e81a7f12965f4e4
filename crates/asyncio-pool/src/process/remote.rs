//! Functions that worker processes call, and where they are found.
//!
//! `#[asyncio::remote]` leaves a function as it is, and puts it into a list that the linker makes. In this process a
//! function is found there by its type, which no other function has. In a worker it is found by its name and its place
//! in the source. Parent and worker are the same program, so both have the same list.

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use asyncio_loop::{EventLoop, PanicPayload, run_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::chunk;
use super::frame::{EncodeError, Frame, Kind, decode, encode, message};

/// A function that worker processes can call with these arguments. It has the attribute `#[asyncio::remote]`, and may
/// be `async`. Its arguments and its value have serde's traits.
///
/// A single argument is given as it is, none as `()`, several, up to twelve, as a tuple. The compiler infers `Kind`,
/// which distinguishes the kinds of functions.
///
/// The format is [postcard](https://docs.rs/postcard). It has no names of fields, so serde's `untagged`, `flatten`,
/// `tag` and `skip_serializing_if` do not work. If reading a value takes more than 512 KiB of the stack, the call gives
/// an error. A chain of some thousand boxes is an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no remote function for arguments of type `{Arguments}`",
    note = "several arguments are given as a tuple, and the return type has serde's `Serialize` and `Deserialize`"
)]
pub trait RemoteFn<Arguments, Kind>: Copy + 'static {
    /// The value of a call.
    type Value: DeserializeOwned;
}

macro_rules! remote_fn {
    ($($argument:ident)*; $arguments:ty) => {
        impl<F, R, $($argument),*> RemoteFn<$arguments, fn($($argument),*) -> R> for F
        where
            F: Fn($($argument),*) -> R + Copy + 'static,
            R: Serialize + DeserializeOwned,
        {
            type Value = R;
        }

        impl<F, R, $($argument),*> RemoteFn<$arguments, Later<fn($($argument),*) -> R>> for F
        where
            F: Fn($($argument),*) -> R + Copy + 'static,
            R: Future,
            R::Output: Serialize + DeserializeOwned,
        {
            type Value = R::Output;
        }
    };
}

/// The kind of functions that are `async`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Later<F>(F);

remote_fn!(; ());
remote_fn!(A; A);
remote_fn!(A B; (A, B));
remote_fn!(A B C; (A, B, C));
remote_fn!(A B C D; (A, B, C, D));
remote_fn!(A B C D E; (A, B, C, D, E));
remote_fn!(A B C D E G; (A, B, C, D, E, G));
remote_fn!(A B C D E G H; (A, B, C, D, E, G, H));
remote_fn!(A B C D E G H I; (A, B, C, D, E, G, H, I));
remote_fn!(A B C D E G H I J; (A, B, C, D, E, G, H, I, J));
remote_fn!(A B C D E G H I J K; (A, B, C, D, E, G, H, I, J, K));
remote_fn!(A B C D E G H I J K L; (A, B, C, D, E, G, H, I, J, K, L));
remote_fn!(A B C D E G H I J K L M; (A, B, C, D, E, G, H, I, J, K, L, M));

/// A function in the list of the program. Written by the attribute.
#[doc(hidden)]
#[derive(Debug)]
pub struct Registered {
    name: &'static str,
    place: &'static str,
    /// The type of the function.
    type_id: fn() -> TypeId,
    /// Reads arguments, calls the function, and gives the frame to answer with.
    call: fn(&[u8], usize) -> Vec<u8>,
}

impl Registered {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        place: &'static str,
        type_id: fn() -> TypeId,
        call: fn(&[u8], usize) -> Vec<u8>,
    ) -> Self {
        Self {
            name,
            place,
            type_id,
            call,
        }
    }

    /// The address of the function in a frame: name and place, each after its length.
    pub(crate) fn address(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.name.len() + self.place.len());
        for part in [self.name, self.place] {
            let length = u16::try_from(part.len()).expect("names of functions are short");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

inventory::collect!(Registered);

/// The type of a function. Written by the attribute.
#[doc(hidden)]
pub fn type_of<F: 'static>(_function: F) -> TypeId {
    TypeId::of::<F>()
}

/// Reads the arguments of a call. Written by the attribute.
#[doc(hidden)]
pub fn read<A: DeserializeOwned>(arguments: &[u8]) -> Result<A, String> {
    decode(arguments)
}

/// The frame with the value of a call. Written by the attribute.
#[doc(hidden)]
pub fn write<R: Serialize>(value: &R, limit: usize) -> Vec<u8> {
    match encode(Kind::Value, &[], value, limit) {
        Ok(frame) => frame,
        Err(error) => message(Kind::BadValue, &error.tell(limit)),
    }
}

/// Calls a function with arguments that have come. Written by the attribute.
#[doc(hidden)]
pub fn call<A, R>(
    arguments: &[u8],
    limit: usize,
    read: impl FnOnce(&[u8]) -> Result<A, String>,
    function: impl FnOnce(A) -> R,
    write: impl FnOnce(&R, usize) -> Vec<u8>,
) -> Vec<u8> {
    // All of it is foreign code: reading, the function, writing, and dropping what it returned.
    let answer = || match read(arguments) {
        Err(why) => message(Kind::BadArguments, &why),
        Ok(arguments) => write(&function(arguments), limit),
    };
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(frame) => frame,
        Err(payload) => message(Kind::Panicked, PanicPayload::new(payload).message()),
    }
}

/// [`call`] for an `async` function: on a loop of its own, so that nothing it leaves behind meets the next call.
#[doc(hidden)]
pub fn call_async<A, R, Fut>(
    arguments: &[u8],
    limit: usize,
    read: impl FnOnce(&[u8]) -> Result<A, String>,
    function: impl FnOnce(A) -> Fut,
    write: impl FnOnce(&R, usize) -> Vec<u8>,
) -> Vec<u8>
where
    Fut: Future<Output = R>,
{
    let on_a_loop = |arguments| {
        let builder = EventLoop::builder().ctrl_c(false);
        run_with(builder, async { function(arguments).await })
    };
    call(arguments, limit, read, on_a_loop, write)
}

impl EncodeError {
    pub(crate) fn tell(self, limit: usize) -> String {
        match self {
            Self::TooLarge => format!("they take more than {limit} bytes"),
            Self::Other(why) => why,
        }
    }
}

/// The addresses of the functions of this program, by their types: for the parent.
#[derive(Debug)]
pub(crate) struct Addresses {
    all: HashMap<TypeId, Vec<u8>>,
}

impl Addresses {
    pub(crate) fn of_this_program() -> Self {
        let functions = inventory::iter::<Registered>.into_iter();
        let all = functions.map(|function| ((function.type_id)(), function.address()));
        Self { all: all.collect() }
    }

    /// That of the function of this type.
    ///
    /// # Panics
    ///
    /// If it is not in the list.
    #[track_caller]
    pub(crate) fn of<F: 'static>(&self) -> &[u8] {
        let Some(address) = self.all.get(&TypeId::of::<F>()) else {
            panic!(
                "`{}` is no remote function: it needs `#[asyncio::remote]`",
                type_name::<F>()
            );
        };
        address
    }
}

/// The functions of this program, by their addresses: for a worker.
#[derive(Debug)]
pub(crate) struct Functions {
    all: HashMap<Vec<u8>, &'static Registered>,
}

impl Functions {
    /// # Errors
    ///
    /// The name of a function that is there twice.
    pub(crate) fn of_this_program() -> Result<Self, &'static str> {
        let mut all = HashMap::new();
        for function in inventory::iter::<Registered> {
            let before = all.insert(function.address(), function);
            if before.is_some() {
                return Err(function.name);
            }
        }
        Ok(Self { all })
    }

    /// Makes the calls of a frame, and returns the frame of the answer.
    pub(crate) fn answer(&self, frame: &Frame, limit: usize) -> Vec<u8> {
        let Some((address, rest)) = split(frame.body()) else {
            return message(Kind::BadArguments, "the call has no address");
        };
        let Some(function) = self.all.get(address) else {
            return message(Kind::Unknown, &String::from_utf8_lossy(name_in(address)));
        };
        match frame.kind {
            Kind::Calls => {
                let answers = chunk::answers(rest, limit, function.call);
                // Its parts have had the limit.
                write(&answers, usize::MAX)
            }
            _ => (function.call)(rest, limit),
        }
    }
}

/// The address at the beginning, and the rest.
fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = 0;
    for _ in 0..2 {
        let length = body.get(end..)?.first_chunk()?;
        end += 2 + usize::from(u16::from_le_bytes(*length));
    }
    body.split_at_checked(end)
}

/// The name in an address.
fn name_in(address: &[u8]) -> &[u8] {
    let (length, rest) = address.split_at(2);
    &rest[..usize::from(u16::from_le_bytes([length[0], length[1]]))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let function = Registered::new(
            "program::crunch",
            "main.rs:1:2",
            || type_of(()),
            |_, _| Vec::new(),
        );
        let mut body = function.address();
        body.extend(b"arguments");
        let (head, rest) = split(&body).unwrap();
        assert_eq!((head, rest), (&function.address()[..], &b"arguments"[..]));
        assert_eq!(name_in(head), b"program::crunch");
        for end in 0..head.len() {
            assert!(split(&body[..end]).is_none());
        }
    }

    #[test]
    fn a_function_that_is_not_in_the_list_is_a_panic() {
        fn unknown() {}
        let ask = |_: fn()| catch_unwind(|| Addresses::of_this_program().of::<fn()>().len());
        assert!(ask(unknown).is_err());
    }
}
