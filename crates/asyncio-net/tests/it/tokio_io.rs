//! tokio's traits on our streams, used by tokio's own helpers.

use asyncio_net::{StreamReader, memory_pair};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::support::{pair, run, run_virtual};

#[test]
fn a_tcp_stream_is_read_and_written() {
    run(async {
        let (mut ours, mut theirs) = pair().await;
        let send = async {
            AsyncWriteExt::write_all(&mut ours, b"hello").await.unwrap();
            let parts = [
                std::io::IoSlice::new(b", "),
                std::io::IoSlice::new(b"world"),
            ];
            assert_eq!(
                AsyncWriteExt::write_vectored(&mut ours, &parts)
                    .await
                    .unwrap(),
                7
            );
            AsyncWriteExt::shutdown(&mut ours).await.unwrap();
        };
        let mut all = Vec::with_capacity(3);
        let receive = AsyncReadExt::read_to_end(&mut theirs, &mut all);
        let ((), received) = futures::join!(send, receive);
        assert_eq!((received.unwrap(), &all[..]), (12, &b"hello, world"[..]));
    });
}

#[test]
fn halves_are_copied_to_each_other() {
    run(async {
        let ((one, other), (third, fourth)) = (pair().await, pair().await);
        let (mut read, _kept) = other.into_split();
        let (_kept_too, mut write) = third.into_split();
        one.write_all(&[7; 100_000]).await.unwrap();
        drop(one);
        let copying = async {
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            drop(write);
        };
        let mut all = Vec::new();
        let mut fourth = fourth;
        let receive = AsyncReadExt::read_to_end(&mut fourth, &mut all);
        let ((), received) = futures::join!(copying, receive);
        assert_eq!(received.unwrap(), 100_000);
    });
}

#[test]
fn a_reader_has_lines_for_tokio_too() {
    run_virtual(async {
        let (mut ours, theirs) = memory_pair(100);
        AsyncWriteExt::write_all(&mut ours, b"one\ntwo")
            .await
            .unwrap();
        drop(ours);
        let mut lines = AsyncBufReadExt::lines(StreamReader::new(theirs));
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "one");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "two");
        assert_eq!(lines.next_line().await.unwrap(), None);
    });
}
