//! A small process manager: it starts programs, starts them again when they fail, and stops all of them gracefully. It
//! passes SIGHUP on, and prints their output by line.
//!
//! Usage: `supervisor NAME=COMMAND…`. Try it, and stop it with Ctrl-C or SIGTERM:
//!
//! ```sh
//! cargo run --example supervisor -- 'clock=while sleep 1; do date; done' 'flaky=sleep 2; exit 1'
//! ```

#[cfg(not(unix))]
fn main() {
    eprintln!("subprocesses are for Unix only");
}

#[cfg(unix)]
fn main() {
    asyncio::run_with(asyncio::Runner::builder().sigterm(true), unix::supervise());
}

#[cfg(unix)]
mod unix {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::io;
    use std::rc::Rc;
    use std::time::Duration;

    use asyncio::net::StreamReader;
    use asyncio::pipe::PipeReader;
    use asyncio::process::{Child, Command, Stdio};
    use asyncio::signal::{Signal, signal};
    use asyncio::{BoxError, TaskGroup, gather, on_cancel, shield, sleep, task_group};

    /// How long a program may take to end after SIGTERM.
    const GRACE: Duration = Duration::from_secs(5);

    /// The pauses before a program is started again: the first, and the maximum.
    const MIN_PAUSE: Duration = Duration::from_millis(100);
    const MAX_PAUSE: Duration = Duration::from_secs(10);

    /// The programs that run, by their names.
    type Running = RefCell<BTreeMap<String, Rc<Child>>>;

    pub(crate) async fn supervise() {
        let programs = std::env::args().skip(1).map(|program| {
            let (name, command) = program.split_once('=').unwrap_or_else(|| {
                eprintln!("usage: supervisor NAME=COMMAND…");
                std::process::exit(2)
            });
            (name.to_owned(), command.to_owned())
        });
        let programs: Vec<_> = programs.collect();
        let running = Running::default();
        let group = task_group(async |tg: TaskGroup<'_>| {
            let all = task_group(async |all: TaskGroup<'_>| {
                for (name, command) in &programs {
                    all.spawn(keep_running(name, command, &running));
                }
                Ok(())
            });
            tg.spawn(pass_hangups_on(&running));
            all.await.map_err(|errors| errors.into_first())?;
            tg.cancel(); // nobody is left to hear of a hangup
            Ok::<_, BoxError>(())
        });
        match on_cancel(group, async { println!("all have ended") }).await {
            Ok(()) => println!("all are done"),
            Err(errors) => eprintln!("supervisor: {errors}"),
        }
    }

    /// Runs a program until it succeeds.
    async fn keep_running(name: &str, command: &str, running: &Running) -> Result<(), BoxError> {
        let mut pause = MIN_PAUSE;
        loop {
            let mut shell = Command::shell(command);
            shell
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr_to_stdout();
            // Ctrl-C reaches the supervisor only, which stops the whole group of processes.
            let mut child = shell.process_group(0).kill_on_drop(true).spawn()?;
            let output = child.stdout.take().expect("it is piped");
            let child = Rc::new(child);
            running.borrow_mut().insert(name.to_owned(), child.clone());
            println!("{name}: started");
            // The output is read to its end, also while the program is being stopped.
            let (status, printed) =
                gather((child.wait_or_stop(GRACE), shield(print_lines(name, output)))).await;
            printed?;
            let status = status?;
            let ended = running.borrow_mut().remove(name);
            drop(ended);
            if status.success() {
                println!("{name}: done");
                return Ok(());
            }
            println!("{name}: {status}; again in {pause:?}");
            sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    }

    async fn print_lines(name: &str, output: PipeReader) -> io::Result<()> {
        let mut lines = StreamReader::new(output);
        while let Some(line) = lines.next_line().await? {
            println!("{name} | {line}");
        }
        Ok(())
    }

    async fn pass_hangups_on(running: &Running) -> Result<(), BoxError> {
        let mut hangups = signal(Signal::HUP)?;
        loop {
            hangups.recv().await?;
            let all: Vec<_> = running.borrow().values().cloned().collect();
            for child in all {
                child.send_signal(Signal::HUP)?;
            }
        }
    }
}
