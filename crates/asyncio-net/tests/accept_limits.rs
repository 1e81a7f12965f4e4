//! A listener whose process has no free descriptors: it waits without spinning, keeps the
//! connections in the queue, and continues when descriptors are free again. Without the test
//! harness, because the limit holds for the whole process.

#[cfg(unix)]
fn main() {
    use std::cell::RefCell;
    use std::fs::File;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use asyncio_net::TcpListener;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    let cpu_time = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::try_from(time).expect("a process has used some time")
    };

    asyncio_loop::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..5)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();

        // The lowest free descriptor becomes the first forbidden one.
        let before = getrlimit(Resource::Nofile);
        let lowest = File::open("/dev/null").unwrap().as_raw_fd() as u64;
        let none_left = Rlimit {
            current: Some(lowest),
            ..before
        };
        setrlimit(Resource::Nofile, none_left).unwrap();
        assert!(File::open("/dev/null").is_err());

        let reports = Rc::new(RefCell::new(Vec::new()));
        asyncio_loop::set_exception_handler({
            let reports = reports.clone();
            move |unhandled| reports.borrow_mut().push(unhandled.to_string())
        });
        let accepted = Rc::new(RefCell::new(Vec::new()));
        let server = asyncio_loop::spawn({
            let accepted = accepted.clone();
            async move {
                for _ in 0..5 {
                    let (stream, peer) = listener.accept().await.unwrap();
                    accepted.borrow_mut().push((stream, peer));
                }
            }
        });

        // The loop continues meanwhile, and is almost idle.
        let (begin, cpu_before) = (Instant::now(), cpu_time());
        asyncio_loop::sleep(Duration::from_millis(400)).await;
        let (wall, cpu) = (begin.elapsed(), cpu_time() - cpu_before);
        assert!(accepted.borrow().is_empty());
        assert!(!server.is_finished());
        assert!(
            cpu < wall / 4,
            "{cpu:?} of {wall:?} were spent while waiting"
        );
        let reports = reports.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("Too many open files"), "{reports:?}");

        setrlimit(Resource::Nofile, before).unwrap();
        server.await.unwrap();
        let peers: Vec<_> = accepted.borrow().iter().map(|(_, peer)| *peer).collect();
        let connected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        assert_eq!(peers, connected);
    });
}

#[cfg(not(unix))]
fn main() {}
