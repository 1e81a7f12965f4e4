//! The behaviour that `test_staggered.py` observes.

/// `asyncio.staggered`.
mod staggered_tests {
    use std::cell::Cell;
    use std::future::pending;

    use asyncio::{Contender, sleep, staggered_race, time};
    use asyncio_tests::{ms, run_virtual, secs};

    /// The first contender wins, and the second is never started.
    #[test]
    fn one_successful() {
        run_virtual(async |_| {
            let started = Cell::new(0);
            let contenders = (0..2).map(|n| {
                let started = &started;
                move || async move {
                    started.set(started.get() + 1);
                    Ok::<_, ()>(format!("result {n}"))
                }
            });
            let race = staggered_race(contenders, None).await;
            assert_eq!(race.winner, Some(("result 0".to_owned(), 0)));
            assert_eq!(race.contenders, [Contender::Won]);
            assert_eq!(started.get(), 1);
        });
    }

    /// The first fails, and the second is started at once, without a delay and also long before it is over.
    #[test]
    fn first_error_second_successful() {
        run_virtual(async |_| {
            for delay in [None, Some(secs(100))] {
                let start = time();
                let contenders = (0..2)
                    .map(|n| move || async move { if n == 0 { Err("first") } else { Ok(n) } });
                let race = staggered_race(contenders, delay).await;
                assert_eq!(race.winner, Some((1, 1)));
                assert_eq!(
                    race.contenders,
                    [Contender::Failed("first"), Contender::Won]
                );
                assert_eq!(time(), start);
            }
        });
    }

    /// The first is slow: after the delay the second is started, wins, and the first is cancelled. A failure
    /// after the next contender was started starts no other one.
    #[test]
    fn first_timeout_second_successful() {
        run_virtual(async |trace| {
            let start = time();
            let contenders = (0..2).map(|n| {
                move || async move {
                    if n == 0 {
                        let _note = trace.on_drop("the first ends");
                        pending::<()>().await;
                    }
                    Ok::<_, ()>(n)
                }
            });
            let race = staggered_race(contenders, Some(ms(100))).await;
            assert_eq!(race.winner, Some((1, 1)));
            assert_eq!(race.contenders, [Contender::Cancelled, Contender::Won]);
            assert_eq!(trace.take(), ["the first ends"]);
            assert_eq!(time() - start, ms(100));

            let start = time();
            let contenders = (0..3).map(|n| {
                move || async move {
                    trace.note(format!("{n} at {} ms", (time() - start).as_millis()));
                    match n {
                        0 => sleep(ms(110)).await,
                        1 => sleep(secs(1)).await,
                        _ => return Ok(n),
                    }
                    Err("failed")
                }
            });
            let race = staggered_race(contenders, Some(ms(100))).await;
            assert_eq!(race.winner, Some((2, 2)));
            assert_eq!(trace.take(), ["0 at 0 ms", "1 at 100 ms", "2 at 200 ms"]);
        });
    }

    /// All fail: no winner, and all errors in order.
    #[test]
    fn none_successful() {
        run_virtual(async |_| {
            let contenders = (0..2).map(|n| move || async move { Err::<(), _>(n) });
            let race = staggered_race(contenders, None).await;
            assert_eq!(race.winner, None);
            assert_eq!(
                race.contenders,
                [Contender::Failed(0), Contender::Failed(1)]
            );
        });
    }
}
