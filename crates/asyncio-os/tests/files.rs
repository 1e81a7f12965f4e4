//! Files: whole and in parts, beside the same operations of the standard library.

use std::fs as std_fs;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::pin::pin;

use asyncio_executors::{gather, timeout};
use asyncio_loop::{Runner, run, run_with, sleep, spawn, time, yield_now};
use asyncio_net::{StreamReader, StreamWriter};
use asyncio_os::fs::{self, File, FsError, OpenOptions, TempDir};
use asyncio_pool::{Pending, ThreadPool, set_default_executor, shutdown_default_executor};
use asyncio_testkit::{ms, poll_once, secs};
use futures::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use proptest::prelude::*;

/// Runs a test in a directory of its own.
fn in_directory<F: Future<Output = ()>>(f: impl FnOnce(PathBuf) -> F) {
    run(async {
        let directory = TempDir::new().await.unwrap();
        f(directory.path().to_owned()).await;
        directory.close().await.unwrap();
    });
}

mod whole {
    use super::*;

    #[test]
    fn files_are_written_read_copied_and_removed() {
        in_directory(|directory| async move {
            let (one, two) = (directory.join("one"), directory.join("two"));
            fs::write(&one, "hello").await.unwrap();
            assert_eq!(fs::read(&one).await.unwrap(), b"hello");
            assert_eq!(fs::copy(&one, &two).await.unwrap(), 5);
            fs::rename(&two, directory.join("three")).await.unwrap();
            assert!(!fs::exists(&two).await.unwrap());
            assert_eq!(
                fs::read_to_string(directory.join("three")).await.unwrap(),
                "hello"
            );
            fs::remove_file(&one).await.unwrap();
            assert_eq!(
                fs::read(&one).await.unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
        });
    }

    #[test]
    fn every_length_is_read_whole() {
        in_directory(|directory| async move {
            for length in [0, 1, 4095, 4096, 128 * 1024, 128 * 1024 + 1, 3_000_000] {
                let path = directory.join(length.to_string());
                let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
                fs::write(&path, bytes.clone()).await.unwrap();
                assert!(fs::read(&path).await.unwrap() == bytes, "{length}");
            }
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_of_proc_have_no_length_and_are_read() {
        run(async {
            let status = fs::read_to_string("/proc/self/status").await.unwrap();
            assert!(status.contains("Pid:"));
            let mut file = File::open("/proc/self/status").await.unwrap();
            let mut all = Vec::new();
            let n = file.read_to_end(&mut all).await.unwrap();
            assert_eq!((n as u64, n), (file.position().unwrap(), all.len()));
            assert!(String::from_utf8(all).unwrap().contains("Pid:"));
            assert_eq!(fs::read("/dev/null").await.unwrap(), b"");
        });
    }

    #[test]
    fn errors_name_the_path() {
        run(async {
            let error = fs::read_to_string("/no/such").await.unwrap_err();
            let told: &FsError = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!(told.path().to_str(), Some("/no/such"));
            assert_eq!(told.os_error().raw_os_error(), Some(2));
            let error = File::open("/no/such").await.unwrap_err();
            assert!(
                error.to_string().starts_with("cannot open /no/such: "),
                "{error}"
            );
            let error = fs::read_dir("/no/such").await.unwrap_err();
            assert!(error.to_string().contains("/no/such"), "{error}");
        });
    }

    #[test]
    fn text_that_is_none_is_an_error() {
        in_directory(|directory| async move {
            let path = directory.join("latin-1");
            fs::write(&path, [0xe9]).await.unwrap();
            let error = fs::read_to_string(&path).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        });
    }

    #[test]
    fn an_atomic_write_replaces_all_or_nothing() {
        in_directory(|directory| async move {
            let path = directory.join("settings");
            fs::write_atomic(&path, "one").await.unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, std_fs::Permissions::from_mode(0o640))
                    .await
                    .unwrap();
            }
            fs::write_atomic(&path, "two").await.unwrap();
            assert_eq!(fs::read_to_string(&path).await.unwrap(), "two");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(&path).await.unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o640);
            }
            // A directory is in the way, so it fails, and leaves nothing.
            fs::create_dir(directory.join("a")).await.unwrap();
            fs::write(directory.join("a/b"), "").await.unwrap();
            assert!(
                fs::write_atomic(directory.join("a"), "three")
                    .await
                    .is_err()
            );
            let mut names = names(&directory).await;
            names.sort();
            assert_eq!(names, ["a", "settings"]);
        });
    }

    #[cfg(unix)]
    #[test]
    fn an_atomic_write_replaces_the_file_behind_a_link() {
        in_directory(|directory| async move {
            use std::os::unix::fs::symlink;
            let path = |name: &str| directory.join(name);
            std_fs::create_dir(path("below")).unwrap();
            std_fs::write(path("below/file"), "old").unwrap();
            symlink("below/file", path("link")).unwrap();
            symlink(path("link"), path("link of a link")).unwrap();
            symlink("below/later", path("dangling")).unwrap();
            symlink("circle", path("circle")).unwrap();
            for link in ["link", "link of a link", "dangling"] {
                fs::write_atomic(path(link), link).await.unwrap();
                assert!(std_fs::symlink_metadata(path(link)).unwrap().is_symlink());
                assert_eq!(std_fs::read_to_string(path(link)).unwrap(), link);
            }
            assert_eq!(
                std_fs::read_to_string(path("below/later")).unwrap(),
                "dangling"
            );
            assert!(fs::write_atomic(path("circle"), "").await.is_err());
            assert_eq!(names(&path("below")).await.len(), 2);
        });
    }

    #[cfg(unix)]
    #[test]
    fn an_atomic_write_keeps_the_owner_and_all_bits() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

        in_directory(|directory| async move {
            let path = directory.join("program");
            std_fs::write(&path, "old").unwrap();
            // Only root may give a file away.
            let mine = std_fs::metadata(&path).unwrap();
            let owner = match chown(&path, Some(4321), Some(5432)) {
                Ok(()) => (4321, 5432),
                Err(_) => (mine.uid(), mine.gid()),
            };
            std_fs::set_permissions(&path, std_fs::Permissions::from_mode(0o6751)).unwrap();
            fs::write_atomic(&path, "new").await.unwrap();
            let about = std_fs::metadata(&path).unwrap();
            assert_eq!((about.uid(), about.gid()), owner);
            assert_eq!(about.mode() & 0o7777, 0o6751);
        });
    }

    #[test]
    fn a_copy_of_a_file_onto_itself_is_refused() {
        in_directory(|directory| async move {
            let (file, link) = (directory.join("file"), directory.join("link"));
            std_fs::write(&file, "precious").unwrap();
            std_fs::hard_link(&file, &link).unwrap();
            for to in [&file, &link] {
                let error = fs::copy(&file, to).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            }
            assert_eq!(std_fs::read_to_string(&file).unwrap(), "precious");
        });
    }

    #[test]
    fn errors_of_two_paths_name_both() {
        in_directory(|directory| async move {
            let (from, to) = (directory.join("from"), directory.join("none/to"));
            std_fs::write(&from, "").unwrap();
            let failures = [
                fs::copy(&from, &to).await.map(drop),
                fs::rename(&from, &to).await,
                fs::hard_link(&from, &to).await,
            ];
            for failure in failures {
                let error = failure.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                let both = format!("{} to {}: ", from.display(), to.display());
                assert!(error.to_string().contains(&both), "{error}");
                let inner: &FsError = error.get_ref().unwrap().downcast_ref().unwrap();
                assert_eq!((inner.path(), inner.target()), (&*from, Some(&*to)));
            }
        });
    }

    #[test]
    fn a_directory_of_many_entries_is_a_stream() {
        in_directory(|directory| async move {
            fs::create_dir_all(directory.join("a/b/c")).await.unwrap();
            for n in 0..600 {
                std_fs::write(directory.join(format!("a/{n}")), "").unwrap();
            }
            assert_eq!(names(&directory.join("a")).await.len(), 601);
            let mut entries = fs::read_dir(directory.join("a")).await.unwrap();
            let mut count = 0;
            // A cancelled wait loses no entry.
            {
                let mut next = pin!(entries.next_entry());
                // The thread may have been quick.
                if poll_once(next.as_mut()).is_ready() {
                    count += 1;
                }
            }
            while let Some(entry) = entries.next_entry().await.unwrap() {
                count += 1;
                if entry.file_name() == "b" {
                    assert!(entry.file_type().unwrap().is_dir());
                    assert!(entry.metadata().await.unwrap().is_dir());
                }
            }
            assert_eq!(count, 601);
            assert!(entries.next_entry().await.unwrap().is_none());
            let entries = fs::read_dir(directory.join("a")).await.unwrap();
            let entries: Vec<_> = futures::StreamExt::collect(entries).await;
            assert!(entries.len() == 601 && entries.iter().all(Result::is_ok));
        });
    }

    async fn names(directory: &std::path::Path) -> Vec<String> {
        let mut entries = fs::read_dir(directory).await.unwrap();
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await.unwrap() {
            names.push(entry.file_name().into_string().unwrap());
        }
        names
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_or_read() {
        in_directory(|directory| async move {
            let (file, link) = (directory.join("file"), directory.join("link"));
            fs::write(&file, "x").await.unwrap();
            fs::symlink(&file, &link).await.unwrap();
            fs::hard_link(&file, directory.join("second"))
                .await
                .unwrap();
            assert!(fs::symlink_metadata(&link).await.unwrap().is_symlink());
            assert!(fs::metadata(&link).await.unwrap().is_file());
            assert_eq!(fs::read_link(&link).await.unwrap(), file);
            let real = fs::canonicalize(&link).await.unwrap();
            assert_eq!(real, fs::canonicalize(&file).await.unwrap());
            assert_eq!(fs::read(&link).await.unwrap(), b"x");
        });
    }

    #[test]
    fn without_a_loop_it_is_an_error() {
        let mut read = pin!(fs::write("/tmp/never", ""));
        let std::task::Poll::Ready(outcome) = poll_once(read.as_mut()) else {
            panic!("it does not wait")
        };
        assert!(outcome.is_err());
    }
}

mod temporary {
    use super::*;

    #[test]
    fn a_directory_vanishes_with_all_in_it() {
        let path = run(async {
            let directory = TempDir::new().await.unwrap();
            fs::write(directory.path().join("x"), "x").await.unwrap();
            directory.path().to_owned()
        });
        assert!(!path.exists(), "closing the loop waits for that");
        let kept = run(async { TempDir::new().await.unwrap().keep() });
        assert!(kept.exists());
        std_fs::remove_dir(kept).unwrap();
        run(async {
            let directory = TempDir::new().await.unwrap();
            let path = directory.path().to_owned();
            directory.close().await.unwrap();
            assert!(!path.exists(), "closing it waits for that, too");
            let gone = TempDir::new().await.unwrap();
            std_fs::remove_dir(gone.path()).unwrap();
            let error = gone.close().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
        // And without a loop.
        let directory = run(async { TempDir::new().await.unwrap() });
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_vanishes_although_the_pool_takes_no_job() {
        let reports = std::rc::Rc::new(std::cell::Cell::new(0));
        let refused = run(async {
            let counted = reports.clone();
            asyncio_loop::set_exception_handler(move |_| counted.set(counted.get() + 1));
            let directory = TempDir::new().await.unwrap();
            shutdown_default_executor().await;
            directory.path().to_owned()
        });
        assert!(!refused.exists());
        assert_eq!(reports.get(), 0, "it is no failed job");
        let cancelled = run(async {
            let directory = TempDir::new().await.unwrap();
            let pool = ThreadPool::builder().max_threads(1).build();
            set_default_executor(pool.clone());
            let (begins, begun) = std::sync::mpsc::channel();
            let (release, held) = std::sync::mpsc::channel::<()>();
            let holding = pool.run(move || {
                begins.send(()).unwrap();
                held.recv()
            });
            begun.recv().unwrap();
            let path = directory.path().to_owned();
            drop(directory); // its job waits for the thread
            assert!(path.exists());
            pool.shutdown(Pending::Cancel);
            drop(release);
            holding.await.unwrap().unwrap_err();
            path
        });
        assert!(!cancelled.exists());
    }

    #[test]
    fn one_in_a_relative_place_is_removed_from_any_other() {
        run(async {
            // With a relative path, another working directory would be cleared.
            let directory = TempDir::new_in("src").await.unwrap();
            assert!(directory.path().is_absolute());
            assert!(
                directory
                    .path()
                    .starts_with(std::env::current_dir().unwrap())
            );
            directory.close().await.unwrap();
        });
    }

    #[test]
    fn a_cancelled_one_leaves_nothing() {
        in_directory(|parent| async move {
            for _ in 0..20 {
                {
                    let mut made = pin!(TempDir::new_in(&parent));
                    let _begun = poll_once(made.as_mut());
                    yield_now().await;
                }
            }
            // The threads have ended when the pool has.
            set_default_executor(ThreadPool::new());
            while std_fs::read_dir(&parent).unwrap().count() > 0 {
                sleep(ms(1)).await;
            }
        });
    }

    #[test]
    fn a_file_has_no_name() {
        run(async {
            let mut file = fs::temp_file().await.unwrap();
            file.write_all(b"secret").await.unwrap();
            file.seek(SeekFrom::Start(0)).await.unwrap();
            let mut all = Vec::new();
            file.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"secret");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let permissions = file.metadata().await.unwrap().permissions();
                assert_eq!(permissions.mode() & 0o777, 0o600);
            }
        });
    }
}

mod parts {
    use super::*;

    #[test]
    fn lines_are_read_with_a_limit() {
        in_directory(|directory| async move {
            let path = directory.join("lines");
            let text: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
            fs::write(&path, text).await.unwrap();
            let mut lines = StreamReader::new(File::open(&path).await.unwrap());
            let mut count = 0;
            while let Some(line) = lines.next_line().await.unwrap() {
                assert_eq!(line, format!("line {count}"));
                count += 1;
            }
            assert_eq!(count, 10_000);
            let mut short = StreamReader::with_limit(3, File::open(&path).await.unwrap());
            assert!(short.readline().await.is_err());
        });
    }

    #[test]
    fn permissions_are_those_of_the_file() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let file = File::create(&path).await.unwrap();
            let mut permissions = std_fs::metadata(&path).unwrap().permissions();
            assert!(!permissions.readonly());
            permissions.set_readonly(true);
            file.set_permissions(permissions.clone()).await.unwrap();
            assert_eq!(std_fs::metadata(&path).unwrap().permissions(), permissions);
        });
    }

    #[test]
    fn a_read_to_the_end_appends_and_counts() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            std_fs::write(&path, "three").unwrap();
            let mut file = File::open(&path).await.unwrap();
            let mut all = b"two ".to_vec();
            assert_eq!(file.read_to_end(&mut all).await.unwrap(), 5);
            assert_eq!(all, b"two three");
        });
    }

    #[test]
    fn the_traits_of_futures_work() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            let mut file = options.open(&path).await.unwrap();
            AsyncWriteExt::write_all(&mut file, b"hello, world")
                .await
                .unwrap();
            AsyncWriteExt::flush(&mut file).await.unwrap();
            AsyncSeekExt::seek(&mut file, SeekFrom::End(-5))
                .await
                .unwrap();
            let mut word = String::new();
            file.read_to_string(&mut word).await.unwrap();
            assert_eq!(word, "world");
            assert!(options.open(&path).await.is_err(), "it exists");
        });
    }

    #[test]
    fn appended_parts_go_to_the_end() {
        in_directory(|directory| async move {
            let path = directory.join("log");
            let mut options = OpenOptions::new();
            options.append(true).create(true);
            let (mut one, mut two) = (
                options.open(&path).await.unwrap(),
                options.open(&path).await.unwrap(),
            );
            one.write_all(b"one ").await.unwrap();
            two.write_all(b"two ").await.unwrap();
            one.write_all(b"three").await.unwrap();
            assert_eq!(fs::read_to_string(&path).await.unwrap(), "one two three");
            assert_eq!(one.position(), Some(13));
        });
    }

    /// In a file that exists, of which the system knows the name.
    #[test]
    fn a_file_may_be_read_and_appended() {
        in_directory(|directory| async move {
            let path = directory.join("log");
            std_fs::write(&path, "1").unwrap();
            let mut appends = OpenOptions::new();
            appends.read(true).append(true);
            let mut writes_too = OpenOptions::new();
            writes_too.read(true).write(true).append(true);
            for (options, expected) in [(appends, "12"), (writes_too, "122")] {
                let mut file = options.open(&path).await.unwrap();
                let mut first = [0];
                file.read_exact(&mut first).await.unwrap();
                file.write_all(b"2").await.unwrap();
                assert_eq!(&first, b"1");
                assert_eq!(std_fs::read_to_string(&path).unwrap(), expected);
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_std_has_opened_for_appending_knows_its_end() {
        in_directory(|directory| async move {
            let path = directory.join("log");
            std_fs::write(&path, "12345").unwrap();
            let mut options = std_fs::OpenOptions::new();
            options.read(true).append(true);
            let opened = File::from_std(options.open(&path).unwrap(), &path).unwrap();
            let by_options = OpenOptions::from(options).open(&path).await.unwrap();
            for (mut file, end) in [(opened, 7), (by_options, 9)] {
                file.write_all(b"ab").await.unwrap();
                assert_eq!(file.position(), Some(end));
                assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 0);
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_created_with_the_mode_that_was_asked_for() {
        use std::os::unix::fs::PermissionsExt as _;

        in_directory(|directory| async move {
            let path = directory.join("private");
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            options.open(&path).await.unwrap();
            let mode = std_fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        });
    }

    #[test]
    fn an_offset_beyond_all_files_is_an_error_or_the_end() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            std_fs::write(&path, "hello").unwrap();
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).open(&path).await.unwrap();
            // The largest number means the system's own position in some calls.
            for offset in [1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
                let read = file.read_at(&mut [0; 4], offset).await;
                assert!(!matches!(read, Ok(1..)), "{offset}");
                let exact = file.read_exact_at(&mut [0; 4], offset).await;
                assert!(exact.is_err() && file.write_at("x", offset).await.is_err());
            }
            assert_eq!(std_fs::read_to_string(&path).unwrap(), "hello");
        });
    }

    #[test]
    fn a_lock_keeps_others_out() {
        in_directory(|directory| async move {
            let path = directory.join("lock");
            let one = File::create(&path).await.unwrap();
            let two = File::open(&path).await.unwrap();
            one.lock().await.unwrap();
            assert!(!two.try_lock_shared().unwrap());
            assert!(!two.try_lock().unwrap());
            assert!(timeout(ms(5), two.lock()).await.is_err());
            let release = async {
                sleep(ms(5)).await;
                one.unlock().unwrap();
            };
            let (locked, ()) = gather((two.lock_shared(), release)).await;
            locked.unwrap();
            assert!(one.try_lock_shared().unwrap());
            // A shared lock waits for an exclusive one only.
            one.unlock().unwrap();
            two.unlock().unwrap();
            assert!(one.try_lock().unwrap());
            assert!(timeout(ms(5), two.lock_shared()).await.is_err());
        });
    }

    #[test]
    fn nothing_is_read_exactly_at_the_end_too() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            std_fs::write(&path, "ab").unwrap();
            let mut file = File::open(&path).await.unwrap();
            file.read_exact(&mut [0; 2]).await.unwrap();
            file.read_exact(&mut []).await.unwrap();
            assert!(file.read_exact(&mut [0]).await.is_err());
            file.read_exact_at(&mut [], 2).await.unwrap();
            assert!(file.read_exact_at(&mut [0], 2).await.is_err());
        });
    }

    #[test]
    fn a_long_part_is_read_exactly_from_its_offset() {
        in_directory(|directory| async move {
            let path = directory.join("long");
            let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
            std_fs::write(&path, &bytes).unwrap();
            let mut file = File::open(&path).await.unwrap();
            // More than one read of the system's gives.
            let mut part = vec![0; 2_500_000];
            file.read_exact_at(&mut part, 10_001).await.unwrap();
            assert!(part == bytes[10_001..][..part.len()]);
            file.read_exact(&mut part).await.unwrap();
            assert!(part == bytes[..part.len()]);
        });
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_have_positions() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            std_fs::write(&path, "x").unwrap();
            assert_eq!(File::open(&path).await.unwrap().position(), Some(0));
            assert_eq!(File::open("/dev/null").await.unwrap().position(), None);
        });
    }

    #[test]
    fn a_file_that_is_short_or_changed_by_others_is_read_as_it_is() {
        in_directory(|directory| async move {
            let path = directory.join("growing");
            fs::write(&path, "one").await.unwrap();
            let mut file = File::open(&path).await.unwrap();
            let mut buf = [0; 8];
            assert_eq!(file.read(&mut buf).await.unwrap(), 3);
            assert_eq!(file.read(&mut buf).await.unwrap(), 0);
            std_fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(b"two")
                .unwrap();
            assert_eq!(file.read(&mut buf).await.unwrap(), 3);
            assert_eq!(&buf[..3], b"two");
            let error = file.read_exact(&mut buf).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_page_cache_has_is_read_without_a_thread() {
        use rustix::io::{ReadWriteFlags, preadv2};

        in_directory(|directory| async move {
            let path = directory.join("cached");
            fs::write(&path, vec![1; 100_000]).await.unwrap();
            let probe = std_fs::File::open(&path).unwrap();
            let mut byte = [0];
            let mut bufs = [io::IoSliceMut::new(&mut byte)];
            if preadv2(&probe, &mut bufs, 0, ReadWriteFlags::NOWAIT).is_err() {
                return; // This file system cannot be asked.
            }
            let (short, long) = (directory.join("short"), directory.join("long"));
            std_fs::write(&short, vec![1; 128 * 1024]).unwrap();
            std_fs::write(&long, vec![1; 128 * 1024 + 1]).unwrap();
            let free = super::cancelling::busy_pool();
            let mut file = File::open(&path).await.unwrap();
            let mut all = Vec::new();
            assert_eq!(file.read_to_end(&mut all).await.unwrap(), 100_000);
            file.read_exact_at(&mut all[..5000], 90_000).await.unwrap();
            assert_eq!(fs::read(&path).await.unwrap(), all);
            assert_eq!(fs::read(&short).await.unwrap().len(), 128 * 1024);
            // The copy of a longer one would hold up the loop.
            assert!(timeout(ms(1), fs::read(&long)).await.is_err());
            drop(free);
        });
    }

    #[test]
    fn a_loop_of_reads_from_the_cache_lets_others_run() {
        in_directory(|directory| async move {
            let path = directory.join("cached");
            fs::write(&path, vec![1; 4096]).await.unwrap();
            let file = File::open(&path).await.unwrap();
            let other = spawn(async { yield_now().await });
            let mut reads = 0;
            let mut buf = [0; 16];
            while !other.is_finished() {
                file.read_at(&mut buf, 0).await.unwrap();
                reads += 1;
                assert!(reads < 10_000);
            }
        });
    }
}

mod cancelling {
    use super::*;

    /// A pool whose only thread is busy until the sender is dropped.
    pub(super) fn busy_pool() -> std::sync::mpsc::Sender<()> {
        set_default_executor(ThreadPool::builder().max_threads(1).build());
        let (free, wait) = std::sync::mpsc::channel::<()>();
        asyncio_pool::to_thread(move || wait.recv().is_ok()).discard();
        free
    }

    #[test]
    fn a_cancelled_read_has_not_moved_the_position() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            fs::write(&path, "0123456789").await.unwrap();
            // Without a page cache: /proc is never cached.
            let mut file = File::open("/proc/self/status").await.unwrap();
            let mut expected = [0; 16];
            std_fs::File::open("/proc/self/status")
                .unwrap()
                .read_exact(&mut expected)
                .unwrap();
            let free = busy_pool();
            let mut buf = [0; 8];
            {
                let mut read = pin!(file.read(&mut buf));
                assert!(poll_once(read.as_mut()).is_pending());
            }
            assert_eq!(file.position(), Some(0));
            drop(free);
            let mut all = [0; 16];
            file.read_exact(&mut all).await.unwrap();
            assert_eq!(all, expected);
        });
    }

    /// The files of /proc are not in the page cache, so a thread reads them.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_cancelled_read_has_read_stands_at_its_own_position() {
        run(async {
            let path = "/proc/self/status";
            let expected = std_fs::read(path).unwrap();
            let mut file = File::open(path).await.unwrap();
            let free = busy_pool();
            {
                let mut buf = [0; 8];
                let mut read = pin!(file.read(&mut buf));
                assert!(poll_once(read.as_mut()).is_pending());
            }
            drop(free);
            // A part of it, and then all from the start.
            for length in [3, 12] {
                file.seek(SeekFrom::Start(0)).await.unwrap();
                let mut part = vec![0; length];
                file.read_exact(&mut part).await.unwrap();
                assert_eq!(part, expected[..length]);
            }
        });
    }

    #[test]
    fn a_cancelled_write_goes_on_and_tells_how_much() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let mut file = File::create(&path).await.unwrap();
            let free = busy_pool();
            assert!(timeout(ms(2), file.write_all(b"hello")).await.is_err());
            assert_eq!((file.unsettled(), file.position()), (5, Some(0)));
            drop(free);
            assert_eq!(file.settle().await.unwrap(), 5);
            assert_eq!((file.unsettled(), file.position()), (0, Some(5)));
            file.write_all(b" there").await.unwrap();
            assert_eq!(std_fs::read_to_string(&path).unwrap(), "hello there");
        });
    }

    #[test]
    fn a_write_whose_file_is_dropped_is_done_by_the_end_of_the_loop() {
        let directory = run(async { TempDir::new().await.unwrap().keep() });
        let path = directory.join("file");
        run(async {
            let mut file = File::create(&path).await.unwrap();
            let free = busy_pool();
            AsyncWriteExt::write_all(&mut file, b"hello").await.unwrap();
            drop(file);
            drop(free);
        });
        assert_eq!(std_fs::read_to_string(&path).unwrap(), "hello");
        std_fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_has_not_begun_never_happens() {
        in_directory(|directory| async move {
            let path = directory.join("never");
            let free = busy_pool();
            assert!(timeout(ms(2), fs::write(&path, "x")).await.is_err());
            drop(free);
            fs::create_dir(directory.join("later")).await.unwrap();
            assert!(!path.exists());
        });
    }

    #[test]
    fn virtual_time_waits_for_files() {
        run_with(Runner::builder().virtual_time(true), async {
            let start = time();
            let directory = TempDir::new().await.unwrap();
            let path = directory.path().join("file");
            let work = async {
                for _ in 0..20 {
                    fs::write(&path, vec![0; 10_000]).await.unwrap();
                }
            };
            timeout(secs(3600), work).await.unwrap();
            assert!(time() - start < secs(60));
        });
    }
}

/// Writes that are accepted before they are done.
mod behind {
    use super::cancelling::busy_pool;
    use super::*;

    #[test]
    fn parts_are_accepted_while_the_thread_is_busy_and_written_in_order() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let mut file = File::create(&path).await.unwrap();
            let free = busy_pool();
            let mut expected = Vec::new();
            for n in 0..1000_u32 {
                file.write_behind(&n.to_le_bytes()).await.unwrap();
                expected.extend(n.to_le_bytes());
            }
            assert_eq!((file.unsettled(), file.position()), (4000, Some(0)));
            drop(free);
            assert_eq!(file.settle().await.unwrap(), 4000);
            assert_eq!((file.unsettled(), file.position()), (0, Some(4000)));
            assert!(std_fs::read(&path).unwrap() == expected);
        });
    }

    #[test]
    fn a_full_buffer_waits_for_room_and_a_cancelled_wait_loses_nothing() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let mut file = File::create(&path).await.unwrap();
            let free = busy_pool();
            let part = vec![7; 100_000];
            assert!(
                timeout(ms(1), async {
                    loop {
                        file.write_behind(&part).await.unwrap();
                    }
                })
                .await
                .is_err()
            );
            let accepted = file.unsettled();
            assert!((200_000..2_000_000).contains(&accepted), "{accepted}");
            {
                let mut more = pin!(file.write_behind(b"more"));
                assert!(poll_once(more.as_mut()).is_pending());
            }
            let write = async {
                for _ in 0..100 {
                    file.write_behind(&part).await.unwrap();
                }
                file.settle().await.unwrap();
            };
            let release = async {
                yield_now().await;
                drop(free);
            };
            gather((write, release)).await;
            let all = std_fs::read(&path).unwrap();
            assert_eq!(all.len(), accepted + 100 * part.len());
            assert!(all.iter().all(|byte| *byte == 7));
        });
    }

    #[test]
    fn what_was_accepted_is_read_and_written_after_the_drop() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create_new(true);
            let mut file = options.open(&path).await.unwrap();
            file.write_behind(b"hello, ").await.unwrap();
            file.write_behind(b"world").await.unwrap();
            file.seek(SeekFrom::Current(-5)).await.unwrap();
            let mut word = [0; 5];
            file.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"world");
            file.set_len(6).await.unwrap();
            file.seek(SeekFrom::End(0)).await.unwrap();
            let free = busy_pool();
            file.write_behind(b" moon").await.unwrap();
            file.write_behind(b"!").await.unwrap();
            drop(file);
            drop(free);
            set_default_executor(ThreadPool::new()); // the old one ends its jobs
            while std_fs::metadata(&path).unwrap().len() < 12 {
                sleep(ms(1)).await;
            }
            assert_eq!(std_fs::read_to_string(&path).unwrap(), "hello, moon!");
        });
    }

    #[test]
    fn appended_parts_stay_in_order() {
        in_directory(|directory| async move {
            let path = directory.join("log");
            std_fs::write(&path, "0 ").unwrap();
            let mut options = OpenOptions::new();
            let mut log = options.append(true).open(&path).await.unwrap();
            let free = busy_pool();
            for word in ["1 ", "2 ", "3"] {
                log.write_behind(word.as_bytes()).await.unwrap();
            }
            drop(free);
            log.settle().await.unwrap();
            assert_eq!(log.position(), Some(7));
            assert_eq!(std_fs::read_to_string(&path).unwrap(), "0 1 2 3");
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_error_comes_with_a_later_operation() {
        run(async {
            let mut options = OpenOptions::new();
            let mut full = options.write(true).open("/dev/full").await.unwrap();
            full.write_behind(b"x").await.unwrap();
            let error = full.sync_all().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!(full.unsettled(), 0);
            full.write_behind(b"x").await.unwrap();
            let error = full.close().await.unwrap_err();
            assert!(error.to_string().contains("/dev/full"), "{error}");
        });
    }

    #[test]
    fn a_pool_that_is_closed_is_an_error_and_no_wait() {
        in_directory(|directory| async move {
            let mut file = File::create(directory.join("file")).await.unwrap();
            let pool = ThreadPool::builder().max_threads(1).build();
            set_default_executor(pool.clone());
            let (free, wait) = std::sync::mpsc::channel::<()>();
            pool.run(move || wait.recv().is_ok()).discard();
            let write = async {
                loop {
                    file.write_behind(&[1; 100_000]).await?;
                }
            };
            let close = async {
                yield_now().await;
                // The write has not begun, and never will.
                pool.shutdown(Pending::Cancel);
            };
            let outcome: (io::Result<()>, ()) =
                timeout(secs(60), gather((write, close))).await.unwrap();
            assert!(outcome.0.is_err());
            assert_eq!(file.unsettled(), 0);
            assert!(file.write_all(b"x").await.is_err());
            drop(free);
            set_default_executor(ThreadPool::new());
            file.write_all(b"x").await.unwrap();
            assert_eq!(file.position(), Some(1));
        });
    }

    #[test]
    fn a_stream_writer_writes_a_file() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            let writer = StreamWriter::new(File::create(&path).await.unwrap());
            let mut expected = Vec::new();
            for n in 0..20_000 {
                let line = format!("line {n}\n");
                writer.write(&line);
                writer.drain().await.unwrap();
                expected.extend_from_slice(line.as_bytes());
            }
            writer.close();
            writer.wait_closed().await.unwrap();
            assert!(std_fs::read(&path).unwrap() == expected);
        });
    }
}

/// Operations on one file, ours beside the standard library's.
#[derive(Clone, Debug)]
enum Operation {
    Read(usize),
    Write(Vec<u8>),
    WriteOwned(Vec<u8>),
    /// A write that is not awaited to its end. The next operation is another one.
    WriteBehind(Vec<u8>),
    Seek(SeekFrom),
    SetLen(u64),
    ReadAt(usize, u64),
    WriteAt(Vec<u8>, u64),
    Length,
    /// A read whose future is dropped after one poll.
    CancelledRead(usize),
    Sync,
}

fn operation() -> impl Strategy<Value = Operation> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..2000);
    prop_oneof![
        (0..3000_usize).prop_map(Operation::Read),
        bytes().prop_map(Operation::Write),
        bytes().prop_map(Operation::WriteOwned),
        bytes().prop_map(Operation::WriteBehind),
        (0..5000_u64).prop_map(|to| Operation::Seek(SeekFrom::Start(to))),
        (-3000..3000_i64).prop_map(|by| Operation::Seek(SeekFrom::Current(by))),
        (-5000..1000_i64).prop_map(|by| Operation::Seek(SeekFrom::End(by))),
        (0..6000_u64).prop_map(Operation::SetLen),
        ((0..3000_usize), (0..6000_u64)).prop_map(|(n, at)| Operation::ReadAt(n, at)),
        (bytes(), (0..6000_u64)).prop_map(|(bytes, at)| Operation::WriteAt(bytes, at)),
        Just(Operation::Length),
        (1..3000_usize).prop_map(Operation::CancelledRead),
        Just(Operation::Sync),
    ]
}

/// The result of an operation.
#[derive(Debug, PartialEq)]
enum Outcome {
    Bytes(Vec<u8>),
    Number(u64),
    Error(io::ErrorKind),
    Done,
}

impl Outcome {
    fn of<T>(result: io::Result<T>, f: impl FnOnce(T) -> Self) -> Self {
        result.map_or_else(|error| Outcome::Error(error.kind()), f)
    }
}

async fn ours(file: &mut File, operation: Operation, is_cached: bool) -> Outcome {
    match operation {
        Operation::Read(n) => {
            // One read of ours may return less; the sum is the same.
            let mut buf = vec![0; n];
            let mut filled = 0;
            while filled < n {
                match file.read(&mut buf[filled..]).await {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(error) => return Outcome::Error(error.kind()),
                }
            }
            buf.truncate(filled);
            Outcome::Bytes(buf)
        }
        Operation::Write(bytes) => Outcome::of(file.write_all(&bytes).await, |()| Outcome::Done),
        Operation::WriteOwned(bytes) => {
            let written = file.write_owned(bytes.clone()).await;
            Outcome::of(written, |buf| {
                assert_eq!(buf, bytes, "it is given back");
                Outcome::Done
            })
        }
        Operation::WriteBehind(bytes) => {
            Outcome::of(file.write_behind(&bytes).await, |()| Outcome::Done)
        }
        Operation::Seek(to) => Outcome::of(file.seek(to).await, Outcome::Number),
        Operation::SetLen(n) => Outcome::of(file.set_len(n).await, |()| Outcome::Done),
        Operation::ReadAt(n, at) => {
            let mut buf = vec![0; n];
            let mut filled = 0;
            while filled < n {
                match file.read_at(&mut buf[filled..], at + filled as u64).await {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(error) => return Outcome::Error(error.kind()),
                }
            }
            let mut exact = vec![0; n];
            let is_exact = file.read_exact_at(&mut exact, at).await.is_ok();
            assert_eq!(is_exact, filled == n);
            assert!(!is_exact || exact == buf);
            buf.truncate(filled);
            Outcome::Bytes(buf)
        }
        Operation::WriteAt(bytes, at) => {
            Outcome::of(file.write_at(bytes, at).await, |()| Outcome::Done)
        }
        Operation::Length => {
            Outcome::of(file.metadata().await, |about| Outcome::Number(about.len()))
        }
        Operation::CancelledRead(n) => {
            let before = file.position().unwrap();
            let mut buf = vec![0; n];
            let read = poll_once(pin!(file.read(&mut buf)));
            if read.is_ready() {
                assert!(is_cached);
                file.seek(SeekFrom::Start(before)).await.unwrap();
            }
            assert_eq!(file.position(), Some(before));
            Outcome::Done
        }
        Operation::Sync => Outcome::of(file.sync_data().await, |()| Outcome::Done),
    }
}

fn theirs(file: &mut std_fs::File, operation: Operation) -> Outcome {
    match operation {
        Operation::Read(n) => {
            let mut buf = Vec::new();
            let read = Read::by_ref(file).take(n as u64).read_to_end(&mut buf);
            Outcome::of(read, |_| Outcome::Bytes(buf))
        }
        Operation::Write(bytes) | Operation::WriteOwned(bytes) | Operation::WriteBehind(bytes) => {
            Outcome::of(Write::write_all(file, &bytes), |()| Outcome::Done)
        }
        Operation::Seek(to) => Outcome::of(Seek::seek(file, to), Outcome::Number),
        Operation::SetLen(n) => Outcome::of(file.set_len(n), |()| Outcome::Done),
        Operation::ReadAt(n, at) => {
            let before = file.stream_position().unwrap();
            Seek::seek(file, SeekFrom::Start(at)).unwrap();
            let outcome = theirs(file, Operation::Read(n));
            Seek::seek(file, SeekFrom::Start(before)).unwrap();
            outcome
        }
        Operation::WriteAt(bytes, at) => {
            let before = file.stream_position().unwrap();
            Seek::seek(file, SeekFrom::Start(at)).unwrap();
            let outcome = theirs(file, Operation::Write(bytes));
            Seek::seek(file, SeekFrom::Start(before)).unwrap();
            outcome
        }
        Operation::Length => Outcome::of(file.metadata(), |about| Outcome::Number(about.len())),
        Operation::CancelledRead(_) | Operation::Sync => Outcome::Done,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_operations_do_what_the_standard_library_does(
        operations in proptest::collection::vec(operation(), 0..40),
    ) {
        run(async {
            let directory = TempDir::new().await.unwrap();
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            let mut our = options.open(directory.path().join("ours")).await.unwrap();
            let mut options = std_fs::OpenOptions::new();
            options.read(true).write(true).create_new(true);
            let mut their = options.open(directory.path().join("theirs")).unwrap();
            for operation in operations {
                use Operation::{CancelledRead, Length, ReadAt, WriteAt};
                if let ReadAt(..) | WriteAt(..) | Length | CancelledRead(_) = operation {
                    our.settle().await.unwrap();
                }
                let outcome = ours(&mut our, operation.clone(), true).await;
                assert_eq!(outcome, theirs(&mut their, operation.clone()), "{operation:?}");
                if matches!(operation, Operation::WriteBehind(_)) {
                    continue;
                }
                assert_eq!(our.position().unwrap(), their.stream_position().unwrap());
            }
            let mut rest = our.into_std().await.unwrap();
            assert_eq!(rest.stream_position().unwrap(), their.stream_position().unwrap());
            let (mut one, mut two) = (Vec::new(), Vec::new());
            rest.rewind().unwrap();
            their.rewind().unwrap();
            Read::read_to_end(&mut rest, &mut one).unwrap();
            Read::read_to_end(&mut their, &mut two).unwrap();
            assert!(one == two);
        });
    }
}

/// Failures of the system.
#[cfg(target_os = "linux")]
mod failures {
    use super::*;
    use asyncio_executors::gather_iter;

    #[test]
    fn a_full_disk_is_an_error_that_says_how_much_was_written() {
        run(async {
            let mut full = OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .await
                .unwrap();
            let error = full.write_all(b"x").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(error.to_string().contains("/dev/full"), "{error}");
        });
    }

    #[test]
    fn a_directory_cannot_be_read_as_a_file() {
        run(async {
            let error = fs::read("/").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        });
    }

    #[test]
    fn hundreds_of_files_at_once() {
        in_directory(|directory| async move {
            let paths: Vec<_> = (0..500).map(|n| directory.join(n.to_string())).collect();
            let writes = paths
                .iter()
                .map(|path| fs::write(path, path.to_str().unwrap()));
            assert!(gather_iter(writes).await.iter().all(Result::is_ok));
            let reads = paths.iter().map(|path| async move {
                assert_eq!(
                    fs::read_to_string(path).await.unwrap(),
                    path.to_str().unwrap()
                );
            });
            gather_iter(reads).await;
        });
    }

    #[test]
    fn a_fifo_holds_up_no_loop() {
        in_directory(|directory| async move {
            let path = directory.join("fifo");
            asyncio_os::pipe::make_fifo(&path).unwrap();
            let write = {
                let path = path.clone();
                asyncio_pool::to_thread(move || std_fs::write(path, "through"))
            };
            let read = timeout(secs(60), fs::read(&path)).await.unwrap();
            assert_eq!(read.unwrap(), b"through");
            write.await.unwrap().unwrap();
        });
    }
}

/// Changes of files.
#[cfg(target_os = "linux")]
mod watching {
    use super::*;
    use asyncio_os::fs::ChangeKind;
    use futures::StreamExt as _;

    #[test]
    fn changes_of_a_directory_are_a_stream() {
        in_directory(|directory| async move {
            let mut watch = fs::watch(&directory).unwrap();
            let path = directory.join("file");
            fs::write(&path, "x").await.unwrap();
            fs::rename(&path, directory.join("moved")).await.unwrap();
            fs::remove_file(directory.join("moved")).await.unwrap();
            let expected = [
                (ChangeKind::Created, "file"),
                (ChangeKind::Modified, "file"),
                (ChangeKind::Closed, "file"),
                (ChangeKind::MovedFrom, "file"),
                (ChangeKind::MovedTo, "moved"),
                (ChangeKind::Removed, "moved"),
            ];
            for (kind, name) in expected {
                let change = timeout(secs(60), watch.next()).await.unwrap();
                let change = change.unwrap().unwrap();
                assert_eq!((change.kind, change.path), (kind, directory.join(name)));
            }
            assert!(timeout(ms(1), watch.next_change()).await.is_err());
        });
    }

    #[test]
    fn a_path_that_is_removed_says_so_and_a_missing_one_is_an_error() {
        in_directory(|directory| async move {
            let path = directory.join("file");
            assert!(fs::watch(&path).unwrap_err().to_string().contains("file"));
            fs::write(&path, "x").await.unwrap();
            let mut watch = fs::watch(&path).unwrap();
            fs::remove_file(&path).await.unwrap();
            loop {
                let change = timeout(secs(60), watch.next_change())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(change.path, path);
                if change.kind == ChangeKind::Removed {
                    break;
                }
            }
        });
    }
}
