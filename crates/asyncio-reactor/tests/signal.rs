//! A signal ends a wait early, and is no error. Without the test harness, because the signal goes
//! to the main thread, so the main thread must be the thread that waits.

#[cfg(target_os = "linux")]
fn main() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use asyncio_reactor::Reactor;
    use rustix::process::{Signal, getpid, kill_process};

    let arrived = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&arrived)).unwrap();
    let reactor = Reactor::new().unwrap();

    let is_over = Arc::new(AtomicBool::new(false));
    let sender = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            // Sent again and again, because a signal may arrive before the wait begins.
            while !is_over.load(Ordering::Relaxed) {
                kill_process(getpid(), Signal::USR1).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    for _ in 0..5 {
        arrived.store(false, Ordering::Relaxed);
        assert_eq!(reactor.turn(Some(Duration::from_secs(60))).unwrap(), 0);
        assert!(
            arrived.load(Ordering::Relaxed),
            "only a signal may end the turn"
        );
    }
    is_over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
}

#[cfg(not(target_os = "linux"))]
fn main() {}
