//! Child processes inherit none of the loop's descriptors. Otherwise a server whose child holds its
//! listener could not restart while the child runs. A peer would wait in vain for the end of a
//! connection that the child holds too.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use asyncio_net::{AsyncFd, TcpListener, TcpStream};

const CLOSED_ON_EXEC: u32 = 0o2_000_000;

/// Every descriptor of this process, and whether a child process would inherit it.
fn descriptors() -> BTreeMap<String, bool> {
    let entries = fs::read_dir("/proc/self/fdinfo").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.collect();
    // The directory's own descriptor is listed, and closed by now.
    let known = names.into_iter().filter_map(|name| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{name}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        Some((name, flags & CLOSED_ON_EXEC == 0))
    });
    known.collect()
}

#[test]
fn nothing_of_a_loop_is_inherited() {
    let before = descriptors();
    asyncio_loop::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let one = AsyncFd::new(one).unwrap();
        // A wait of less than a millisecond needs a descriptor of its own.
        asyncio_loop::sleep(Duration::from_micros(200)).await;

        let mut ours = descriptors();
        ours.retain(|name, _| !before.contains_key(name));
        // Those five, and the loop's: two of its selector (to wait and to register), its unparker,
        // its timer.
        assert!(ours.len() >= 9, "{ours:?}");
        ours.retain(|_, is_inherited| *is_inherited);
        assert!(ours.is_empty(), "{ours:?}");
        drop((listener, client, server, one, other));
    });
}
