//! Whole files.

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use asyncio_task::StepBack;

use super::cached;
use super::error::FsError;
use super::on_thread::{on_thread, on_thread_with_both};
use super::temporary::unused_name;

/// How many symbolic links one path may lead through, as on Linux.
const MOST_LINKS: usize = 40;

/// The longest file that is read on the loop's thread: the copy takes some 20 µs.
const LONGEST_INLINE: u64 = 128 * 1024;

/// Reads a whole file.
///
/// # Cancellation
///
/// Loses the bytes.
///
/// # Errors
///
/// The system's error with the path. An error as well if no loop runs on this thread.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    StepBack::new().await;
    match cached::open(path) {
        Some((file, length)) => match read_cached(&file, length) {
            Some(bytes) => Ok(bytes),
            // From the start: the file has not been moved on.
            None => on_thread("read", path, move |_| read_all(&file)).await,
        },
        None => on_thread("read", path, |path| fs::read(path)).await,
    }
}

fn read_all(mut file: &fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

/// The whole file, if it is short and in the page cache.
fn read_cached(file: &fs::File, length: u64) -> Option<Vec<u8>> {
    // The files of /proc have no length.
    if length == 0 || length > LONGEST_INLINE {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    // One byte more, to see whether it has grown.
    let mut bytes = vec![0; length + 1];
    let mut filled = 0;
    while filled < length {
        match cached::read_at(file, &mut bytes[filled..], filled as u64).ok()? {
            0 => break, // it was cut
            n => filled += n,
        }
    }
    if filled > length {
        return None;
    }
    bytes.truncate(filled);
    Some(bytes)
}

/// Reads a whole file as text.
///
/// # Cancellation
///
/// Loses the text.
///
/// # Errors
///
/// `InvalidData` if the file is not UTF-8, and those of [`read`].
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        FsError::name("read", path, error)
    })
}

/// Writes a whole file, which is created or replaced. A crash in the middle leaves a part of it; see
/// [`write_atomic`].
///
/// # Cancellation
///
/// If the write has begun, it goes on to its end. Otherwise nothing is written.
///
/// # Errors
///
/// The system's error with the path. A part may be written then. An error as well if no loop runs on
/// this thread.
pub async fn write(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> io::Result<()> {
    let contents = contents.into();
    on_thread("write", path.as_ref(), |path| fs::write(path, contents)).await
}

/// Replaces a file as a whole: other programs see the old contents or the new ones, also after a
/// crash.
///
/// The contents are written to a new file beside it, synchronized with the disk, and renamed. The new file has the
/// permissions of the old one, and its owner and group if this program may set them. Access control lists are not kept.
/// A symbolic link stays one: the file that it leads to is replaced. A crash may leave the new file, which has a name
/// that begins with `.asyncio-`.
///
/// # Cancellation
///
/// If the write has begun, it goes on to its end. Otherwise nothing is written.
///
/// # Errors
///
/// The system's error with the path. The old file is unchanged then, unless the error comes from the synchronization of
/// the directory after the rename. An error as well if no loop runs on this thread.
pub async fn write_atomic(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> io::Result<()> {
    let contents = contents.into();
    on_thread("replace", path.as_ref(), move |path| {
        replace(path, &contents)
    })
    .await
}

fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let path = &followed(path)?;
    let directory = directory_of(path);
    let old = fs::metadata(path).ok();
    let beside = directory.join(unused_name());
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if old.is_some() {
            // Until the file has the old one's permissions.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut file = options.open(&beside)?;
        file.write_all(contents)?;
        if let Some(old) = &old {
            // After the write, which clears the set-user-id bit.
            inherit(&file, old)?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    sync_directory(directory)
}

/// The directory of a file, which is `.` for a plain name.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The path of the file to which symbolic links lead, which may not exist yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            return Ok(path);
        };
        // An absolute target replaces the whole path.
        path = match path.parent() {
            Some(parent) => parent.join(target),
            None => target,
        };
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Gives a new file the owner, the group and the permissions of an old one, as far as this program may.
#[cfg(unix)]
fn inherit(file: &fs::File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let new = file.metadata()?;
    let mode = old.mode() & 0o7777;
    let is_same = (new.uid(), new.gid()) == (old.uid(), old.gid());
    let mode = if is_same || fchown(file, Some(old.uid()), Some(old.gid())).is_ok() {
        mode
    } else {
        let has_group = fchown(file, None, Some(old.gid())).is_ok();
        of_another_owner(mode, has_group)
    };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// The permissions of a file that this program cannot give to the owner of the old one.
#[cfg(unix)]
fn of_another_owner(mode: u32, has_group: bool) -> u32 {
    // The privileges of another user are not this one's to give.
    let mode = mode & 0o1777;
    match has_group {
        true => mode,
        // Another group has the rights of all others.
        false => mode & !0o070 | (mode & 0o007) << 3,
    }
}

#[cfg(not(unix))]
fn inherit(file: &fs::File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

/// Synchronizes the new name with the disk.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it has errors on Unix")]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Copies the contents and the permissions of a file. Returns the number of bytes. A file of the new name is replaced.
///
/// # Cancellation
///
/// If the copy has begun, it goes on to its end. Otherwise nothing is copied.
///
/// # Errors
///
/// `InvalidInput` if both paths lead to the same file. Otherwise the system's error with both paths. An error as well
/// if no loop runs on this thread.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let copy = |from: &Path, to: &Path| match is_same(from, to) {
        // Otherwise it would be emptied first.
        true => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "they are the same file",
        )),
        false => fs::copy(from, to),
    };
    on_thread_with_both("copy", from.as_ref(), to.as_ref(), copy).await
}

/// Whether two paths lead to one file.
#[cfg(unix)]
fn is_same(from: &Path, to: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let number = |path: &Path| fs::metadata(path).map(|about| (about.dev(), about.ino()));
    matches!((number(from), number(to)), (Ok(from), Ok(to)) if from == to)
}

/// Here the system refuses such a copy.
#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_in_the_working_directory() {
        let directories = ["name", "a/name", "/name", "../name"]
            .map(|path| directory_of(Path::new(path)).to_str().unwrap_or_default());
        assert_eq!(directories, [".", "a", "/", ".."]);
    }

    /// Another program may change a file after its length was looked up.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_from_the_cache_is_read_as_long_as_it_is() {
        let path = std::env::temp_dir().join(unused_name());
        fs::write(&path, "0123456789").unwrap();
        let file = fs::File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if cached::read_at(&file, &mut [0], 0).is_err() {
            return; // This file system cannot be asked.
        }
        let of_length = |length| read_cached(&file, length);
        assert_eq!(of_length(10).as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(
            of_length(20).as_deref(),
            Some(&b"0123456789"[..]),
            "it was cut"
        );
        assert_eq!(of_length(9), None, "it has grown");
        assert_eq!(of_length(5), None, "it has grown");
        assert_eq!(of_length(0), None, "its length is not known");
        assert_eq!(of_length(LONGEST_INLINE + 1), None, "it takes too long");
    }

    #[cfg(unix)]
    #[test]
    fn another_owner_gets_no_privileges_and_another_group_no_more_than_all_others() {
        assert_eq!(of_another_owner(0o7764, true), 0o1764);
        assert_eq!(of_another_owner(0o7764, false), 0o1744);
        assert_eq!(of_another_owner(0o6705, false), 0o755);
    }
}
