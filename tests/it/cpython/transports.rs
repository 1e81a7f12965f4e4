//! The behaviour that `test_transports.py` observes.

mod transport_tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use futures::AsyncReadExt as _;

    use asyncio::net::{MemoryStream, Protocol, Transport, memory_pair};

    /// Says whether it was told to pause.
    struct Quiet(Rc<Cell<bool>>);

    impl Protocol for Quiet {
        fn data_received(&mut self, _: &Transport, _: &[u8]) {}

        fn pause_writing(&mut self, _: &Transport) {
            self.0.set(true);
        }
    }

    fn transport(room: usize) -> (MemoryStream, Transport, Rc<Cell<bool>>) {
        let (ours, theirs) = memory_pair(room);
        let is_paused = Rc::new(Cell::new(false));
        let transport = Transport::new(theirs, Quiet(is_paused.clone())).unwrap();
        (ours, transport, is_paused)
    }

    #[test]
    fn get_extra_info() {
        asyncio::run(async {
            let (_peer, transport, _) = transport(16);
            let stream = transport.with_stream(|stream: &MemoryStream| format!("{stream:?}"));
            assert!(stream.unwrap().contains("MemoryStream"));
            assert_eq!(transport.with_stream(|_: &String| 1), None);
        });
    }

    #[test]
    fn writelines() {
        asyncio::run(async {
            let (mut peer, transport, _) = transport(64);
            transport.writelines(["line1", "line2", "line3"]);
            let mut buf = [0; 15];
            peer.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"line1line2line3");
        });
    }

    #[test]
    fn flowcontrol_mixin_set_write_limits() {
        asyncio::run(async {
            let (_peer, transport, is_paused) = transport(1);
            transport.write([0; 513]);
            assert_eq!(transport.get_write_buffer_size(), 512);
            let wrong = || transport.set_write_buffer_limits(1, 0);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).is_err());
            transport.set_write_buffer_limits(128, 1024);
            assert!(!is_paused.get());
            assert_eq!(transport.get_write_buffer_limits(), (128, 1024));
            transport.set_write_buffer_limits(128, 256);
            assert!(is_paused.get());
            assert_eq!(transport.get_write_buffer_limits(), (128, 256));
            transport.abort();
        });
    }
}
