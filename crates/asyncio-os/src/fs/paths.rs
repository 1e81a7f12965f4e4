//! Operations on names in the file system, in the shape of [`std::fs`].

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::on_thread::{on_thread, on_thread_with_both};

/// Defines functions of one path that call the one of the same name in the standard library.
macro_rules! of_one_path {
    ($($(#[doc = $doc:expr])* $name:ident -> $Output:ty, $operation:literal;)*) => { $(
        $(#[doc = $doc])*
        ///
        /// # Cancellation
        ///
        /// If the operation has begun, it goes on.
        ///
        /// # Errors
        ///
        /// The system's error with the path. An error as well if no loop runs on this thread.
        pub async fn $name(path: impl AsRef<Path>) -> io::Result<$Output> {
            on_thread($operation, path.as_ref(), |path| fs::$name(path)).await
        }
    )* };
}

of_one_path! {
    /// The metadata of a file. Symbolic links are followed.
    metadata -> Metadata, "look at";
    /// The metadata of a file or of a symbolic link itself.
    symlink_metadata -> Metadata, "look at";
    /// Whether there is a file of this name. Symbolic links are followed.
    exists -> bool, "look for";
    /// The absolute path, without symbolic links and `..`.
    canonicalize -> PathBuf, "resolve";
    /// The target of a symbolic link.
    read_link -> PathBuf, "read the link";
    /// Creates a directory.
    create_dir -> (), "create the directory";
    /// Creates a directory and all directories above it that do not exist.
    create_dir_all -> (), "create the directory";
    /// Removes a file or a symbolic link.
    remove_file -> (), "remove";
    /// Removes an empty directory.
    remove_dir -> (), "remove the directory";
    /// Removes a directory with all that is in it.
    remove_dir_all -> (), "remove the directory";
}

/// Renames a file or a directory. A file of the new name is replaced.
///
/// # Cancellation
///
/// If the operation has begun, it goes on.
///
/// # Errors
///
/// The system's error with both paths. An error as well if no loop runs on this thread.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let rename = |from: &Path, to: &Path| fs::rename(from, to);
    on_thread_with_both("rename", from.as_ref(), to.as_ref(), rename).await
}

/// Gives a file a second name.
///
/// # Cancellation
///
/// If the operation has begun, it goes on.
///
/// # Errors
///
/// The system's error with both paths. An error as well if no loop runs on this thread.
pub async fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let link = |from: &Path, to: &Path| fs::hard_link(from, to);
    on_thread_with_both("link", from.as_ref(), to.as_ref(), link).await
}

/// Creates a symbolic link at `link` that points to `target`.
///
/// # Cancellation
///
/// If the operation has begun, it goes on.
///
/// # Errors
///
/// The system's error with the path of the link. An error as well if no loop runs on this thread.
#[cfg(unix)]
pub async fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let target = target.as_ref().to_owned();
    let make = move |link: &Path| std::os::unix::fs::symlink(target, link);
    on_thread("create the link", link.as_ref(), make).await
}

/// Sets the permissions of a file.
///
/// # Cancellation
///
/// If the operation has begun, it goes on.
///
/// # Errors
///
/// The system's error with the path. An error as well if no loop runs on this thread.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let set = move |path: &Path| fs::set_permissions(path, permissions);
    on_thread("set the permissions of", path.as_ref(), set).await
}
