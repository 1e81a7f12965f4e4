//! The system's reads and writes, which go on after an interruption by a signal.

use std::fs;
use std::io::{self, Write};

pub(super) fn again_if_interrupted<T>(mut f: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match f() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

pub(super) fn read_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    again_if_interrupted(|| {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(file, buf, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(file, buf, offset);
    })
}

fn write_at(file: &fs::File, buf: &[u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_at(file, buf, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, buf, offset);
}

/// Writes until all is written or an error comes. Returns how much was written.
fn write_all_by(
    buf: &[u8],
    mut write: impl FnMut(&[u8], usize) -> io::Result<usize>,
) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < buf.len() {
        match again_if_interrupted(|| write(&buf[written..], written)) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

pub(super) fn write_all_at(file: &fs::File, buf: &[u8], offset: u64) -> (usize, io::Result<()>) {
    write_all_by(buf, |left, written| {
        write_at(file, left, offset + written as u64)
    })
}

pub(super) fn write_all(mut file: &fs::File, buf: &[u8]) -> (usize, io::Result<()>) {
    write_all_by(buf, |left, _| file.write(left))
}
