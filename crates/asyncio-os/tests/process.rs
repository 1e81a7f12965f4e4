//! Child processes: pipes, ends, signals, cancellation, and what is left afterwards.
#![cfg(unix)]

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{BoxError, TaskGroup, gather, on_cancel, task_group, timeout};
use asyncio_loop::{run, sleep, spawn, yield_now};
use asyncio_net::StreamReader;
use asyncio_os::process::{Command, SpawnError, StatusTaken, Stdio};
use asyncio_os::signal::Signal;
use asyncio_testkit::{ms, secs};

const GRACE: Duration = secs(30);

/// Whether the process exists, as a zombie too.
fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// A process that ignores SIGTERM, and has said so.
async fn stubborn() -> asyncio_os::process::Child {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = Command::shell(script)
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = StreamReader::new(child.stdout.take().unwrap());
    assert_eq!(lines.next_line().await.unwrap(), Some("ready"));
    child
}

mod wait {
    use super::*;

    #[test]
    fn any_number_of_tasks_wait_also_after_the_end() {
        run(async {
            let child = Rc::new(Command::shell("exit 7").spawn().unwrap());
            let waits: Vec<_> = (0..10)
                .map(|_| {
                    let child = child.clone();
                    spawn(async move { child.wait().await.unwrap().code() })
                })
                .collect();
            for wait in waits {
                assert_eq!(wait.await.unwrap(), Some(7));
            }
            assert_eq!(child.wait().await.unwrap().code(), Some(7));
            assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(7));
        });
    }

    #[test]
    fn returns_although_a_grandchild_holds_the_pipe() {
        run(async {
            let script = "sleep 1000 & echo $!; exit 3";
            let mut child = Command::shell(script)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = StreamReader::new(child.stdout.take().unwrap());
            let grandchild: i32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
            let status = timeout(secs(60), child.wait()).await.unwrap();
            assert_eq!(status.unwrap().code(), Some(3));
            let grandchild = rustix::process::Pid::from_raw(grandchild).unwrap();
            rustix::process::kill_process(grandchild, rustix::process::Signal::KILL).unwrap();
            assert_eq!(lines.next_line().await.unwrap(), None);
        });
    }

    #[test]
    fn cancelled_it_loses_nothing() {
        run(async {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            assert!(timeout(ms(1), child.wait()).await.is_err());
            drop(child.stdin.take());
            assert!(child.wait().await.unwrap().success());
        });
    }

    #[test]
    fn a_status_that_other_code_has_taken_is_an_error() {
        run(async {
            let child = Command::new("true").spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            let pid = rustix::process::Pid::from_raw(pid);
            rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
            let error = child.wait().await.unwrap_err();
            let taken = error
                .get_ref()
                .unwrap()
                .downcast_ref::<StatusTaken>()
                .unwrap();
            assert_eq!(taken.pid, child.id());
            assert!(error.to_string().contains("is lost"), "{error}");
            // And it stays one.
            assert!(child.wait().await.is_err());
            assert!(child.try_wait().is_err());
            child.kill().unwrap();
        });
    }

    #[test]
    fn takes_the_status_of_no_other_child() {
        run(async {
            let mut theirs = std::process::Command::new("true").spawn().unwrap();
            let ours: Vec<_> = (0..20)
                .map(|_| Command::new("true").spawn().unwrap())
                .collect();
            for child in &ours {
                assert!(child.wait().await.unwrap().success());
            }
            assert!(theirs.wait().unwrap().success());
        });
    }

    #[test]
    fn on_another_loop_of_the_thread_it_is_an_error() {
        let mut child = run(async {
            Command::new("cat")
                .stdin(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        });
        run(async {
            assert!(child.wait().await.is_err());
            assert!(child.try_wait().unwrap().is_none());
            drop(child.stdin.take());
        });
        // Without a loop it is reaped all the same.
        let pid = child.id();
        drop(child);
        asyncio_testkit::eventually("it is reaped", || !exists(pid));
    }
}

mod communicate {
    use super::*;

    #[test]
    fn writes_and_reads_at_once() {
        run(async {
            // Much more than the pipes hold.
            let input: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
            let script = "tee /dev/stderr";
            let mut child = Command::shell(script);
            child
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let output = child.spawn().unwrap().communicate(&input).await.unwrap();
            assert!(output.status.success());
            assert!(output.stdout == input && output.stderr == input);
        });
    }

    #[test]
    fn a_process_that_does_not_read_its_input_is_no_error() {
        run(async {
            let input = vec![b'x'; 1_000_000];
            let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
            assert!(child.communicate(&input).await.unwrap().status.success());
        });
    }

    #[test]
    fn input_without_a_pipe_is_an_error() {
        run(async {
            let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
            let error = child.communicate(b"x").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(child.communicate(b"").await.unwrap().status.success());
        });
    }

    #[test]
    fn standard_error_may_go_to_the_pipe_of_standard_output() {
        run(async {
            let script = "echo one; echo two >&2; echo three";
            let output = Command::shell(script)
                .stderr_to_stdout()
                .output()
                .await
                .unwrap();
            assert_eq!(output.stdout, b"one\ntwo\nthree\n");
            assert_eq!(output.stderr, b"");
        });
    }
}

mod commands {
    use super::*;

    #[test]
    fn output_has_no_input_and_can_be_repeated() {
        run(async {
            let mut command = Command::shell("cat; echo $GREETING $PWD; echo oops >&2");
            command.env("GREETING", "hello").current_dir("/");
            for _ in 0..2 {
                let output = command.output().await.unwrap();
                assert_eq!(output.stdout, b"hello /\n");
                assert_eq!(output.stderr, b"oops\n");
            }
        });
    }

    #[test]
    fn the_status_of_a_process_whose_output_nobody_reads_comes() {
        run(async {
            // Much more than the pipe holds.
            let mut yes = Command::new("yes");
            let status = yes.stdin(Stdio::piped()).stdout(Stdio::piped()).status();
            let status = timeout(secs(60), status).await.unwrap().unwrap();
            assert_eq!(status.signal(), Some(Signal::PIPE.as_raw()));
        });
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_that_names_it() {
        run(async {
            let error = Command::new("/no/such/program").spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("/no/such/program"), "{error}");
        });
    }

    #[test]
    fn an_error_says_where_and_keeps_the_number() {
        run(async {
            let mut elsewhere = Command::new("true");
            let error = elsewhere.current_dir("/none").status().await.unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("cannot start true in /none: "),
                "{error}"
            );
            let inner: &SpawnError = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!(inner.current_dir(), Some(Path::new("/none")));
            let too_long = Command::new("true").arg("x".repeat(3_000_000)).spawn();
            let error = too_long.unwrap_err();
            assert!(
                error.to_string().starts_with("cannot start true: "),
                "{error}"
            );
            let inner: &SpawnError = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!(
                (inner.program().to_str(), inner.current_dir()),
                (Some("true"), None)
            );
            let number = rustix::io::Errno::TOOBIG.raw_os_error();
            assert_eq!(inner.os_error().raw_os_error(), Some(number));
        });
    }

    #[test]
    fn output_leaves_the_streams_that_were_set() {
        run(async {
            let open = |name: &str| {
                let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
                let mut options = fs::File::options();
                options.read(true).write(true).create_new(true);
                let file = options.open(&path).unwrap();
                fs::remove_file(&path).unwrap();
                file
            };
            let (mut input, mut errors) = (open("asyncio-input"), open("asyncio-errors"));
            input.write_all(b"given").unwrap();
            let mut command = Command::shell("cat; printf seen >&2");
            command.stdin(input.try_clone().unwrap());
            command.stderr(errors.try_clone().unwrap());
            for _ in 0..2 {
                input.rewind().unwrap();
                let output = command.output().await.unwrap();
                assert_eq!(
                    (&*output.stdout, &*output.stderr),
                    (&b"given"[..], &b""[..])
                );
            }
            let mut written = String::new();
            errors.rewind().unwrap();
            errors.read_to_string(&mut written).unwrap();
            assert_eq!(written, "seenseen");
        });
    }

    #[test]
    fn without_a_loop_nothing_is_started() {
        let error = Command::new("true").spawn().unwrap_err();
        assert!(error.to_string().contains("loop"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_descriptor_of_ours_reaches_a_child() {
        run(async {
            let _pipe = asyncio_os::pipe::pipe().unwrap();
            let _signals = asyncio_os::signal::signal(Signal::USR1).unwrap();
            let _other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let list = ["-1", "/proc/self/fd"];
            let ours = Command::new("ls").args(list).output().await.unwrap();
            // The program that runs the tests may leave some to all its children.
            let theirs = std::process::Command::new("ls")
                .args(list)
                .output()
                .unwrap();
            let ours = String::from_utf8(ours.stdout).unwrap();
            assert_eq!(ours, String::from_utf8(theirs.stdout).unwrap());
            assert!(ours.lines().count() < 8, "{ours}");
        });
    }

    #[test]
    fn a_pipeline_joins_processes_without_this_program() {
        run(async {
            let mut last = Command::new("tail");
            last.args(["-n", "1"]).stdout(Stdio::piped());
            let mut seq = Command::new("seq");
            seq.arg("100000");
            let mut running = seq.pipe(Command::new("cat")).pipe(last).spawn().unwrap();
            assert_eq!(running.children().len(), 3);
            let mut line = Vec::new();
            running
                .last()
                .stdout
                .take()
                .unwrap()
                .read_to_end(&mut line)
                .await
                .unwrap();
            assert_eq!(line, b"100000\n");
            let statuses = running.wait().await.unwrap();
            assert!(statuses.iter().all(|status| status.success()));
        });
    }

    #[test]
    fn a_pipeline_whose_reader_ends_first_ends() {
        run(async {
            let mut head = Command::new("head");
            head.args(["-n", "1"]).stdout(Stdio::null());
            let mut yes = Command::new("yes");
            yes.stdin(Stdio::null());
            let running = yes.pipe(head).spawn().unwrap();
            let statuses = timeout(secs(60), running.wait()).await.unwrap().unwrap();
            assert_eq!(statuses[0].signal(), Some(Signal::PIPE.as_raw()));
            assert!(statuses[1].success());
        });
    }

    #[test]
    fn a_pipeline_with_a_missing_program_leaves_no_process() {
        run(async {
            let mut first = Command::new("sleep");
            first.arg("1000");
            let broken = first.pipe(Command::new("/no/such/program"));
            assert!(broken.spawn().is_err());
        });
    }
}

mod ending {
    use super::*;

    #[test]
    fn a_pipeline_is_stopped_as_a_whole() {
        run(async {
            let mut sleeper = Command::new("sleep");
            sleeper.arg("1000").stdin(Stdio::null());
            // Only the end of the grace period ends it.
            let script = "trap '' TERM; echo ready >&2; while :; do sleep 0.01; done";
            let mut stubborn = Command::shell(script);
            stubborn.stderr(Stdio::piped());
            let mut last = Command::new("cat");
            last.stdout(Stdio::null());
            let mut running = sleeper.pipe(stubborn).pipe(last).spawn().unwrap();
            let stderr = running.children()[1].stderr.take().unwrap();
            let mut ready = [0; 6];
            stderr.read_exact(&mut ready).await.unwrap();
            let statuses = running.stop(ms(20)).await.unwrap();
            let signals: Vec<_> = statuses.iter().map(|status| status.signal()).collect();
            assert_eq!(signals, [Some(15), Some(9), Some(15)]);
        });
    }

    #[test]
    fn stop_terminates_and_kills_after_the_grace_period() {
        run(async {
            let obedient = Command::new("sleep").arg("1000").spawn().unwrap();
            assert_eq!(obedient.stop(GRACE).await.unwrap().signal(), Some(15));
            let child = stubborn().await;
            assert_eq!(child.stop(ms(20)).await.unwrap().signal(), Some(9));
        });
    }

    /// Waits for the end of all processes of the group: the pipe ends with the last that has it.
    async fn until_all_have_ended(leader: &asyncio_os::process::Child) {
        let pipe = leader.stdout.as_ref().unwrap();
        pipe.read_to_end(&mut Vec::new()).await.unwrap();
    }

    /// A leader that obeys SIGTERM at once, with a child that takes a while or ignores it.
    async fn leader_of(child: &str) -> asyncio_os::process::Child {
        let script = "sh -c \"$0\" & wait; exit 1";
        let mut leader = Command::shell(script);
        let leader = leader
            .arg(child)
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        leader
            .stdout
            .as_ref()
            .unwrap()
            .read_exact(&mut ready)
            .await
            .unwrap();
        leader
    }

    #[test]
    fn stop_waits_for_the_rest_of_the_group() {
        run(async {
            let child =
                "trap 'sleep 0.1; echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done";
            let mut leader = leader_of(child).await;
            assert_eq!(leader.stop(GRACE).await.unwrap().signal(), Some(15));
            let mut told = Vec::new();
            let end = leader.stdout.take().unwrap();
            end.read_to_end(&mut told).await.unwrap();
            assert_eq!(told, b"bye\n");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_made_itself_a_leader_is_stopped_with_its_group() {
        run(async {
            let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done & wait";
            let mut session = Command::new("setsid");
            let leader = session
                .args(["sh", "-c", script])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut ready = [0; 6];
            leader
                .stdout
                .as_ref()
                .unwrap()
                .read_exact(&mut ready)
                .await
                .unwrap();
            assert_eq!(leader.stop(ms(20)).await.unwrap().signal(), Some(9));
            until_all_have_ended(&leader).await;
        });
    }

    #[test]
    fn stop_kills_the_rest_of_the_group() {
        run(async {
            let child = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
            let leader = leader_of(child).await;
            assert_eq!(leader.stop(ms(50)).await.unwrap().signal(), Some(15));
            until_all_have_ended(&leader).await;
            // A stop that is interrupted kills as well.
            let leader = leader_of(child).await;
            assert!(timeout(ms(50), leader.stop(GRACE)).await.is_err());
            until_all_have_ended(&leader).await;
        });
    }

    #[test]
    fn signals_to_a_process_that_has_ended_do_nothing() {
        run(async {
            let child = Command::new("true").spawn().unwrap();
            while exists(child.id()) && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                yield_now().await;
            }
            child.wait().await.unwrap();
            child.terminate().unwrap();
            child.kill().unwrap();
            child.send_signal_to_group(Signal::KILL).unwrap();
            assert!(child.stop(GRACE).await.is_ok());
        });
    }

    #[test]
    fn a_signal_that_races_with_the_end_takes_no_status() {
        run(async {
            for _ in 0..50 {
                let child = Command::new("true").spawn().unwrap();
                let hit = async {
                    yield_now().await;
                    child.send_signal(Signal::HUP).unwrap();
                };
                let (status, ()) = gather((child.wait(), hit)).await;
                let status = status.unwrap();
                assert!(status.success() || status.signal() == Some(1), "{status}");
            }
        });
    }

    #[test]
    fn a_dropped_child_goes_on_and_is_reaped() {
        run(async {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let (stdin, pid) = (child.stdin.take(), child.id());
            drop(child);
            sleep(ms(5)).await;
            assert!(exists(pid));
            drop(stdin);
            while exists(pid) {
                sleep(ms(1)).await;
            }
        });
    }

    #[test]
    fn a_dropped_child_is_killed_by_choice() {
        run(async {
            let mut command = Command::new("sleep");
            let child = command.arg("1000").kill_on_drop(true).spawn().unwrap();
            let pid = child.id();
            drop(child);
            while exists(pid) {
                sleep(ms(1)).await;
            }
        });
    }

    #[test]
    fn a_child_that_outlives_its_loop_is_reaped() {
        let (stdin, pid) = run(async {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let stdin = child.stdin.take().unwrap();
            (stdin.into_blocking_fd().unwrap(), child.id())
        });
        assert!(exists(pid));
        drop(stdin);
        asyncio_testkit::eventually("it is reaped", || !exists(pid));
    }

    #[test]
    fn a_leaked_child_is_a_leak_and_nothing_worse() {
        run(async {
            let child = Command::new("true").spawn().unwrap();
            std::mem::forget(child);
        });
    }
}

mod protocol {
    use super::*;
    use asyncio_os::process::{SubprocessProtocol, SubprocessTransport};
    use std::cell::RefCell;

    /// Notes its calls. Closes the transport when data come.
    struct Closes(Rc<RefCell<Vec<&'static str>>>);

    impl SubprocessProtocol for Closes {
        fn pipe_data_received(&mut self, transport: &SubprocessTransport, _: i32, _: &[u8]) {
            self.0.borrow_mut().push("data");
            transport.close();
        }

        fn pipe_connection_lost(
            &mut self,
            _: &SubprocessTransport,
            fd: i32,
            error: Option<&io::Error>,
        ) {
            assert!(error.is_none());
            self.0
                .borrow_mut()
                .push(if fd == 1 { "1 lost" } else { "2 lost" });
        }

        fn process_exited(&mut self, _: &SubprocessTransport) {
            self.0.borrow_mut().push("exited");
        }

        fn connection_lost(&mut self, _: &SubprocessTransport) {
            self.0.borrow_mut().push("lost");
        }
    }

    #[test]
    fn write_eof_ends_a_process_that_reads_to_the_end() {
        #[derive(Default)]
        struct Collects(Rc<RefCell<Vec<u8>>>);

        impl SubprocessProtocol for Collects {
            fn pipe_data_received(&mut self, _: &SubprocessTransport, _: i32, data: &[u8]) {
                self.0.borrow_mut().extend_from_slice(data);
            }
        }

        run(async {
            let collects = Collects::default();
            let data = collects.0.clone();
            let transport = Command::new("cat").spawn_with_protocol(collects).unwrap();
            transport.write("one ");
            transport.write("two");
            transport.write_eof();
            let status = timeout(secs(60), transport.wait_closed()).await.unwrap();
            assert!(status.unwrap().success());
            assert_eq!(*data.borrow(), b"one two");
        });
    }

    #[test]
    fn terminate_and_send_signal_reach_the_process() {
        run(async {
            for signal in [Signal::TERM, Signal::USR1] {
                let mut command = Command::new("sleep");
                let calls = Closes(Rc::default());
                let transport = command.arg("1000").spawn_with_protocol(calls).unwrap();
                match signal {
                    Signal::TERM => transport.terminate().unwrap(),
                    other => transport.send_signal(other).unwrap(),
                }
                let status = timeout(secs(60), transport.wait_closed()).await.unwrap();
                assert_eq!(status.unwrap().signal(), Some(signal.as_raw()));
            }
        });
    }

    #[test]
    fn the_output_of_a_grandchild_comes_before_the_connection_is_lost() {
        run(async {
            let calls = Rc::new(RefCell::new(Vec::new()));
            let mut command = Command::shell("(sleep 0.05; echo late) & exit 0");
            let calls_of_it = Closes(calls.clone());
            let transport = command.spawn_with_protocol(calls_of_it).unwrap();
            transport.wait_closed().await.unwrap();
            let lost = async {
                while calls.borrow().last() != Some(&"lost") {
                    sleep(ms(1)).await;
                }
            };
            timeout(secs(60), lost).await.unwrap();
            assert!(calls.borrow().contains(&"data"), "{calls:?}");
        });
    }

    #[test]
    fn close_kills_the_process_and_leaves_pipes_that_a_grandchild_holds() {
        run(async {
            let calls = Rc::new(RefCell::new(Vec::new()));
            let mut command = Command::shell("sleep 1000 & echo $!; exec sleep 1000");
            let transport = command
                .process_group(0)
                .spawn_with_protocol(Closes(calls.clone()));
            let transport = transport.unwrap();
            let group = transport.id();
            assert!(transport.try_wait().unwrap().is_none());
            let status = transport.wait_closed().await.unwrap();
            assert_eq!(status.signal(), Some(9));
            assert_eq!(transport.try_wait().unwrap(), Some(status));
            transport.close(); // again
            assert_eq!(
                *calls.borrow(),
                ["data", "1 lost", "2 lost", "exited", "lost"]
            );
            // The grandchild is the test's to end.
            let group = rustix::process::Pid::from_raw(group.cast_signed()).unwrap();
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        });
    }
}

mod cancelling {
    use super::*;

    #[test]
    fn status_and_output_stop_the_process_before_the_cancellation_goes_on() {
        run(async {
            let directory = std::env::temp_dir().join(format!("asyncio-os-{}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            let cleaned = directory.join("cleaned");
            let script =
                "trap 'sleep 0.05; : > \"$0\"; exit' TERM; echo; while :; do sleep 0.01; done";
            for call in ["status", "output"] {
                let mut command = Command::shell(script);
                command.arg(&cleaned).stdin(Stdio::null()).grace(GRACE);
                if call == "status" {
                    command.stdout(Stdio::null());
                }
                let work = async {
                    match call {
                        "status" => drop(command.status().await),
                        _ => drop(command.output().await),
                    }
                };
                assert!(timeout(ms(100), work).await.is_err());
                assert!(cleaned.exists(), "{call}");
                fs::remove_file(&cleaned).unwrap();
            }
            fs::remove_dir_all(&directory).unwrap();
        });
    }

    #[test]
    fn a_process_in_a_group_ends_with_it() {
        run(async {
            let outcome = task_group(async |tg: TaskGroup<'_>| {
                let obedient = Command::new("sleep").arg("1000").spawn()?;
                let stubborn = stubborn().await;
                let pids = [obedient.id(), stubborn.id()];
                tg.spawn(async move { Ok(obedient.wait_or_stop(GRACE).await?) });
                tg.spawn(async move { Ok(stubborn.wait_or_stop(ms(20)).await?) });
                yield_now().await;
                Err::<(), BoxError>(format!("{pids:?}").into())
            });
            let pids = outcome.await.unwrap_err().to_string();
            let pids = pids
                .split(['[', ']', ','])
                .filter_map(|pid| pid.trim().parse().ok());
            let pids: Vec<u32> = pids.collect();
            assert_eq!(pids.len(), 2);
            assert!(pids.iter().all(|pid| !exists(*pid)));
        });
    }

    #[test]
    fn a_process_ends_with_a_group_that_ends_before_it_has_begun_to_wait() {
        run(async {
            let outcome = task_group(async |tg: TaskGroup<'_>| {
                let child = Command::new("sleep").arg("1000").spawn()?;
                let pid = child.id();
                child.wait_in(&tg, GRACE);
                Err::<(), BoxError>(pid.to_string().into())
            });
            let pid = outcome.await.unwrap_err().into_first().to_string();
            while exists(pid.parse().unwrap()) {
                sleep(ms(1)).await;
            }
        });
    }

    #[test]
    fn a_group_waits_for_its_processes() {
        run(async {
            let outcome = task_group(async |tg: TaskGroup<'_>| {
                let child = Command::shell("exit 3").spawn()?;
                let status = child.wait_in(&tg, GRACE);
                Ok::<_, BoxError>(status.await?.code())
            });
            assert_eq!(outcome.await.unwrap(), Some(3));
        });
    }

    #[test]
    fn a_second_request_kills_at_once() {
        run(async {
            let child = stubborn().await;
            let pid = child.id();
            let work = timeout(ms(5), child.wait_or_stop(GRACE));
            assert!(timeout(ms(30), work).await.is_err());
            drop(child);
            while exists(pid) {
                sleep(ms(1)).await;
            }
        });
    }

    #[test]
    fn a_plain_drop_kills() {
        run(async {
            let child = stubborn().await;
            let pid = child.id();
            {
                let mut wait = std::pin::pin!(child.wait_or_stop(GRACE));
                assert!(asyncio_testkit::poll_once(wait.as_mut()).is_pending());
            }
            assert_eq!(child.wait().await.unwrap().signal(), Some(9));
            assert!(!exists(pid));
        });
    }

    #[test]
    fn the_end_of_main_stops_a_process_that_a_task_waits_for() {
        let pid = run(async {
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            let pid = child.id();
            spawn(async move { child.wait_or_stop(GRACE).await.unwrap() }).discard();
            yield_now().await;
            pid
        });
        assert!(!exists(pid));
    }

    #[test]
    fn a_cleanup_may_use_the_process() {
        run(async {
            let mut child = Command::new("cat");
            let mut child = child
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = child.stdin.take().unwrap();
            let goodbye = async {
                input.write_all(b"bye").await.unwrap();
                drop(input);
                let mut said = Vec::new();
                child
                    .stdout
                    .as_ref()
                    .unwrap()
                    .read_to_end(&mut said)
                    .await
                    .unwrap();
                assert_eq!(said, b"bye");
                child.wait().await.unwrap();
            };
            assert!(
                timeout(ms(1), on_cancel(std::future::pending::<()>(), goodbye))
                    .await
                    .is_err()
            );
        });
    }
}
