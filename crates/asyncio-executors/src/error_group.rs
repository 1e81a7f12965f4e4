//! Several errors at once, as a tree.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error_tree::write_group;

/// Any error that a task may fail with, unless its group is told another type.
///
/// It may go to another thread, as `anyhow::Error`, `io::Error::other` and most libraries ask of an error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The errors of a group of tasks: at least one, in the order in which the tasks failed.
///
/// `Display` shows all of them, as a tree if there are groups among them. Below a hundred levels the tree is indented
/// no further. `Debug` shows the same tree, with each error as its own `Debug` shows it.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{BoxError, ErrorGroup};
/// let inner = ErrorGroup::<BoxError>::new(vec!["disk full".into()]).unwrap();
/// let group = ErrorGroup::<BoxError>::new(vec!["no route".into(), Box::new(inner)]).unwrap();
/// assert_eq!(group.to_string(), "2 tasks failed
/// ├─ no route
/// └─ 1 task failed
///    └─ disk full");
/// ```
#[doc(alias = "ExceptionGroup")]
#[doc(alias = "BaseExceptionGroup")]
pub struct ErrorGroup<E = BoxError> {
    errors: Vec<E>,
}

impl<E> ErrorGroup<E> {
    /// A group of these errors; `None` if there are none.
    #[must_use]
    pub fn new(errors: Vec<E>) -> Option<Self> {
        if errors.is_empty() {
            None
        } else {
            Some(Self { errors })
        }
    }

    /// The errors. There is at least one.
    #[must_use]
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// The first error.
    #[must_use]
    pub fn first(&self) -> &E {
        &self.errors[0]
    }

    /// The first error, by value.
    #[must_use]
    pub fn into_first(self) -> E {
        self.errors
            .into_iter()
            .next()
            .expect("a group has at least one error")
    }

    /// Sorts the errors by `belongs`: the matching ones, and the others. A group inside counts as one error;
    /// [`split_leaves`](ErrorGroup::split_leaves) goes into it.
    pub fn split(self, mut belongs: impl FnMut(&E) -> bool) -> (Option<Self>, Option<Self>) {
        let (yes, no) = self.errors.into_iter().partition(|error| belongs(error));
        (Self::new(yes), Self::new(no))
    }

    /// The errors of this group itself for which `belongs` is true.
    pub fn subgroup(self, belongs: impl FnMut(&E) -> bool) -> Option<Self> {
        self.split(belongs).0
    }

    /// The same group with other errors.
    pub fn map<F>(self, change: impl FnMut(E) -> F) -> ErrorGroup<F> {
        ErrorGroup {
            errors: self.errors.into_iter().map(change).collect(),
        }
    }
}

/// Through the groups inside.
impl ErrorGroup {
    /// The errors of the whole tree in order, without the groups.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; }
    /// use asyncio::{BoxError, ErrorGroup, TimedOut};
    /// # let inner = ErrorGroup::<BoxError>::new(vec!["disk full".into(), TimedOut.into()]).unwrap();
    /// # let group = ErrorGroup::<BoxError>::new(vec!["no route".into(), inner.into()]).unwrap();
    /// assert_eq!(group.leaves().count(), 3);
    /// assert!(group.leaves().any(|error| error.is::<TimedOut>()));
    /// ```
    pub fn leaves(&self) -> impl Iterator<Item = &BoxError> {
        let mut unseen = vec![self.errors.iter()];
        std::iter::from_fn(move || {
            loop {
                match unseen.last_mut()?.next() {
                    None => drop(unseen.pop()),
                    Some(error) => match error.downcast_ref::<ErrorGroup>() {
                        Some(inside) => unseen.push(inside.errors.iter()),
                        None => return Some(error),
                    },
                }
            }
        })
    }

    /// Sorts the errors of the whole tree by `belongs`: the matching ones, and the others, each in their groups. So
    /// code can handle some errors, as Python's `except*` does, and pass on the rest.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; }
    /// use asyncio::{BoxError, ErrorGroup, TimedOut};
    /// # let inner = ErrorGroup::<BoxError>::new(vec!["disk full".into(), TimedOut.into()]).unwrap();
    /// # let group = ErrorGroup::<BoxError>::new(vec!["no route".into(), inner.into()]).unwrap();
    /// let (late, rest) = group.split_leaves(|error| error.is::<TimedOut>());
    /// assert_eq!(late.unwrap().to_string(), "1 task failed
    /// └─ 1 task failed
    ///    └─ timed out");
    /// assert_eq!(rest.unwrap().to_string(), "2 tasks failed
    /// ├─ no route
    /// └─ 1 task failed
    ///    └─ disk full");
    /// ```
    pub fn split_leaves(
        self,
        mut belongs: impl FnMut(&BoxError) -> bool,
    ) -> (Option<Self>, Option<Self>) {
        self.sorted(&mut belongs)
    }

    fn sorted(self, belongs: &mut dyn FnMut(&BoxError) -> bool) -> (Option<Self>, Option<Self>) {
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for error in self.errors {
            match error.downcast::<ErrorGroup>() {
                Ok(inside) => {
                    let (some, others) = inside.sorted(belongs);
                    yes.extend(some.map(BoxError::from));
                    no.extend(others.map(BoxError::from));
                }
                Err(error) if belongs(&error) => yes.push(error),
                Err(error) => no.push(error),
            }
        }
        (Self::new(yes), Self::new(no))
    }
}

impl<E> IntoIterator for ErrorGroup<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a ErrorGroup<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.iter()
    }
}

impl<E: fmt::Display> fmt::Display for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = |n: usize, out: &mut dyn fmt::Write| write!(out, "{:-}", self.errors[n]);
        write_group(f, self.errors.len(), error)
    }
}

/// An error of kind `Other` around the group, for functions that return `io::Result`.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{ErrorGroup, TaskGroup, task_group};
/// use std::io;
/// async fn copy_all(files: &[&str]) -> io::Result<()> {
///     task_group(async |tg: TaskGroup<'_, io::Error>| {
///         for &file in files {
///             tg.spawn(async move { Err::<(), _>(io::Error::other(format!("{file}: disk full"))) });
///         }
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
/// # asyncio_loop::run(async {
/// let error = copy_all(&["a"]).await.unwrap_err();
/// assert_eq!(error.to_string(), "1 task failed\n└─ a: disk full");
/// assert!(error.downcast::<ErrorGroup<io::Error>>().is_ok());
/// # });
/// ```
impl<E: fmt::Debug + fmt::Display + Send + Sync + 'static> From<ErrorGroup<E>> for io::Error {
    fn from(errors: ErrorGroup<E>) -> Self {
        Self::other(errors)
    }
}

/// The same tree, because Rust prints the `Debug` of an error that `main` returns.
impl<E: fmt::Debug> fmt::Debug for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = |n: usize, out: &mut dyn fmt::Write| write!(out, "{:-?}", self.errors[n]);
        write_group(f, self.errors.len(), error)
    }
}

impl<E: fmt::Debug + fmt::Display> Error for ErrorGroup<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimedOut;

    #[test]
    fn errors_are_split_in_order() {
        let group = ErrorGroup::new(vec![1, 2, 3, 4]).unwrap();
        let (even, odd) = group.split(|n| n % 2 == 0);
        assert_eq!(even.unwrap().into_iter().collect::<Vec<_>>(), [2, 4]);
        let odd = odd.unwrap();
        assert_eq!((&odd).into_iter().collect::<Vec<_>>(), [&1, &3]);
        assert_eq!(odd.map(|n| n * 10).into_first(), 10);
    }

    #[test]
    fn a_subgroup_without_errors_is_none() {
        let group = || ErrorGroup::new(vec![1, 2, 3]).unwrap();
        let many = group().subgroup(|&n| n > 1).unwrap();
        assert_eq!(many.into_iter().collect::<Vec<_>>(), [2, 3]);
        assert!(group().subgroup(|_| false).is_none());
    }

    #[test]
    fn leaves_are_split_where_they_are() {
        let inner = ErrorGroup::<BoxError>::new(vec!["disk full".into(), TimedOut.into()]);
        let errors = vec![TimedOut.into(), "no route".into(), inner.unwrap().into()];
        let group = ErrorGroup::<BoxError>::new(errors).unwrap();
        let (late, rest) = group.split_leaves(|error| error.is::<TimedOut>());
        let words = |group: Option<ErrorGroup>| {
            let group = group.unwrap();
            let leaves: Vec<_> = group.leaves().map(ToString::to_string).collect();
            (group.into_iter().count(), leaves.join(", "))
        };
        assert_eq!(words(late), (2, "timed out, timed out".to_owned()));
        assert_eq!(words(rest), (2, "no route, disk full".to_owned()));
    }
}
