//! Signals as streams and callbacks, on one loop and several.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::thread;

use asyncio_executors::{gather, timeout};
use asyncio_loop::{Runner, run, run_with, sleep, spawn, yield_now};
use asyncio_os::signal::{
    Signal, add_signal_handler, ctrl_c, remove_signal_handler, signal, signals,
};
use asyncio_testkit::{ms, secs};
use futures::StreamExt;
use futures::stream::FusedStream as _;

// Each test has a signal of its own, because they share a process.

#[test]
fn a_stream_loses_none_that_came_one_after_the_other() {
    run(async {
        let mut stream = signal(Signal::USR1).unwrap();
        // More than a socket would hold. Each is sent to this thread, which has handled it when the call returns. One
        // for the process could go to another thread, and be merged with the next.
        for _ in 0..5000 {
            signal_hook::low_level::raise(Signal::USR1.as_raw()).unwrap();
        }
        for _ in 0..5000 {
            assert_eq!(stream.recv().await.unwrap(), Signal::USR1);
        }
        assert!(timeout(ms(1), stream.recv()).await.is_err());
    });
}

#[test]
fn every_stream_of_every_loop_hears_it() {
    let listen = || {
        run(async {
            let mut one = signal(Signal::USR2).unwrap();
            let mut two = signal(Signal::USR2).unwrap();
            let both = gather((one.recv(), two.recv()));
            let (one, two) = timeout(secs(60), both).await.unwrap();
            (one.unwrap(), two.unwrap())
        })
    };
    let threads = [(); 3].map(|()| thread::spawn(listen));
    run(async {
        let _keep = signal(Signal::USR2).unwrap();
        while !threads.iter().all(thread::JoinHandle::is_finished) {
            Signal::USR2.raise().unwrap();
            sleep(ms(1)).await;
        }
    });
    for thread in threads {
        assert_eq!(thread.join().unwrap(), (Signal::USR2, Signal::USR2));
    }
}

#[test]
fn several_kinds_come_through_one_stream() {
    run(async {
        let mut both = signals([Signal::WINCH, Signal::CONT]).unwrap();
        Signal::CONT.raise().unwrap();
        assert_eq!(both.next().await.unwrap().unwrap(), Signal::CONT);
        Signal::WINCH.raise().unwrap();
        assert_eq!(both.next().await.unwrap().unwrap(), Signal::WINCH);
        assert!(!both.is_terminated());
    });
}

#[test]
fn a_signal_has_the_name_and_the_number_of_the_system() {
    for (signal, name, number) in [
        (Signal::TERM, "SIGTERM", 15),
        (Signal::INT, "SIGINT", 2),
        (Signal::HUP, "SIGHUP", 1),
    ] {
        assert_eq!((signal.name(), signal.as_raw()), (Some(name), number));
        assert_eq!(Signal::from_raw(number), signal);
    }
    assert_eq!(Signal::from_raw(1000).name(), None);
}

#[test]
fn a_signal_wakes_a_loop_that_waits() {
    run(async {
        let mut stream = signal(Signal::ALRM).unwrap();
        let raise = thread::spawn(|| {
            thread::sleep(ms(5));
            Signal::ALRM.raise().unwrap();
        });
        assert_eq!(stream.recv().await.unwrap(), Signal::ALRM);
        raise.join().unwrap();
    });
}

#[test]
fn what_cannot_be_handled_is_refused() {
    run(async {
        for kind in [Signal::KILL, Signal::STOP] {
            let error = signal(kind).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert!(signal(Signal::from_raw(12345)).is_err());
        assert!(signal(Signal::from_raw(0)).is_err());
        assert!(signal(Signal::from_raw(-1)).is_err());
    });
    assert!(signal(Signal::HUP).is_err(), "no loop runs here");
}

#[test]
fn a_handler_is_called_replaced_and_removed() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let note = |what| {
            let log = log.clone();
            move || log.borrow_mut().push(what)
        };
        let raised = async |n: usize| {
            Signal::HUP.raise().unwrap();
            while log.borrow().len() < n {
                yield_now().await;
            }
        };
        assert!(!remove_signal_handler(Signal::HUP));
        add_signal_handler(Signal::HUP, note("first")).unwrap();
        raised(1).await;
        add_signal_handler(Signal::HUP, note("second")).unwrap();
        raised(2).await;
        assert!(remove_signal_handler(Signal::HUP));
        assert!(!remove_signal_handler(Signal::HUP));
        assert_eq!(log.take(), ["first", "second"]);
    });
}

#[test]
fn a_handler_may_remove_itself_and_may_panic() {
    run(async {
        asyncio_loop::set_exception_handler(|_| ());
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let handler = move || {
            counted.set(counted.get() + 1);
            assert!(remove_signal_handler(Signal::TSTP));
            panic!("it is reported");
        };
        add_signal_handler(Signal::TSTP, handler).unwrap();
        let mut other = signal(Signal::TSTP).unwrap();
        Signal::TSTP.raise().unwrap();
        while calls.get() == 0 {
            yield_now().await;
        }
        assert!(!remove_signal_handler(Signal::TSTP));
        other.recv().await.unwrap();
    });
}

#[test]
fn ctrl_c_is_the_program_s_while_it_listens() {
    // Not the main thread, so the runner would not listen; the claim is what is tried.
    run_with(Runner::builder(), async {
        let press = spawn(async {
            yield_now().await;
            Signal::INT.raise().unwrap();
        });
        timeout(secs(60), ctrl_c()).await.unwrap().unwrap();
        press.await.unwrap();
    });
}

#[test]
fn a_stream_on_another_loop_is_an_error() {
    let mut stream = run(async { signal(Signal::QUIT).unwrap() });
    run(async { assert!(stream.recv().await.is_err()) });
}
