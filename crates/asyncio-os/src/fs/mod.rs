//! Files: asyncio has none, and its users take aiofiles.
//!
//! ```
//! # mod asyncio { pub use asyncio_os::*; }
//! use asyncio::fs::{self, File, TempDir};
//!
//! # asyncio_loop::run(async {
//! let directory = TempDir::new().await?;
//! let path = directory.path().join("greeting");
//! fs::write(&path, "hello").await?;
//! assert_eq!(fs::read_to_string(&path).await?, "hello");
//!
//! let mut file = File::open(&path).await?;
//! let mut buf = [0; 4];
//! assert_eq!(file.read(&mut buf).await?, 4);
//! assert_eq!(&buf, b"hell");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! These things are always true:
//!
//! - An operation that may wait for a disk runs on a thread of the loop's [default
//!   pool](asyncio_pool::default_executor). On Linux, a read that the page cache can serve happens at once, on the
//!   loop's thread. So does opening a file that the cache knows.
//! - Parts that are [written behind](File::write_behind) are accepted while a thread writes earlier ones.
//! - An operation that a thread has begun cannot be stopped. If its await is cancelled, it goes on. An operation that
//!   has not begun never happens, if its documentation does not say otherwise.
//! - Errors name the path: [`FsError`], inside of the [`io::Error`](std::io::Error).
//! - Virtual time waits for operations that are under way.
//! - Closing the loop waits for them.

mod cached;
mod error;
mod file;
mod on_thread;
mod open;
mod paths;
mod read_dir;
mod temporary;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod watch;
mod whole;

pub use std::fs::{FileType, Metadata, Permissions};

pub use error::FsError;
pub use file::File;
pub use open::OpenOptions;
#[cfg(unix)]
pub use paths::symlink;
pub use paths::{
    canonicalize, create_dir, create_dir_all, exists, hard_link, metadata, read_link, remove_dir,
    remove_dir_all, remove_file, rename, set_permissions, symlink_metadata,
};
pub use read_dir::{DirEntry, ReadDir, read_dir};
pub use temporary::{TempDir, temp_file};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use watch::{Change, ChangeKind, Watch, watch};
pub use whole::{copy, read, read_to_string, write, write_atomic};
