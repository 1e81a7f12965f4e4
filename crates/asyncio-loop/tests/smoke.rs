//! First light.
use asyncio_loop::*;
use std::time::Duration;

#[test]
fn sleeps_on_real_and_virtual_time() {
    run(async {
        let a = spawn(async {
            sleep(Duration::from_millis(20)).await;
            1
        });
        let b = spawn(async {
            sleep(Duration::from_micros(200)).await;
            2
        });
        let start = time();
        assert_eq!(b.await.unwrap() + a.await.unwrap(), 3);
        assert!(time() - start >= Duration::from_millis(19));
    });
    let mut r = Runner::builder().virtual_time(true).build().unwrap();
    r.run(async {
        let start = time();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(time() - start, Duration::from_secs(3600));
        let h = call_later(Duration::from_secs(1), || println!("later"));
        call_soon(|| println!("soon"));
        yield_now().await;
        sleep(Duration::from_secs(2)).await;
        assert!(!h.is_cancelled());
        println!("{h:?}");
    })
    .unwrap();
}
#[test]
fn foreign_threads() {
    run(async {
        let h = running_loop();
        let t = std::thread::spawn(move || {
            h.run_coroutine_threadsafe(|| async {
                sleep(Duration::from_millis(1)).await;
                5
            })
            .unwrap()
            .wait()
            .unwrap()
        });
        while !t.is_finished() {
            sleep(Duration::from_micros(300)).await;
        }
        assert_eq!(t.join().unwrap(), 5);
    });
}
