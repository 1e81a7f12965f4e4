//! The behaviour that `test_subprocess.py` observes.

/// The tests of all child watchers.
mod subprocess_mixin {
    use std::cell::RefCell;
    use std::ffi::OsString;
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::rc::Rc;
    use std::time::Duration;

    use asyncio::process::{Child, Command, Stdio, SubprocessProtocol, SubprocessTransport};
    use asyncio::signal::Signal;
    use asyncio::{gather, gather_iter, move_on_after, run, sleep, spawn, timeout, yield_now};
    use asyncio_tests::{ms, secs};

    fn cat() -> Child {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("3600").spawn().unwrap()
    }

    /// The bytes that are written to a process are read from it, and it ends with its input.
    #[test]
    fn stdin_stdout() {
        run(async {
            let mut cat = cat();
            let stdin = cat.stdin.take().unwrap();
            stdin.write_all(b"some data").await.unwrap();
            drop(stdin);
            let mut data = Vec::new();
            let stdout = cat.stdout.take().unwrap();
            stdout.read_to_end(&mut data).await.unwrap();
            assert_eq!(cat.wait().await.unwrap().code(), Some(0));
            assert_eq!(data, b"some data");
        });
    }

    /// The same in one call.
    #[test]
    fn communicate() {
        run(async {
            let output = cat().communicate(b"some data").await.unwrap();
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(output.stdout, b"some data");
        });
    }

    /// Without input, the pipe is closed.
    #[test]
    fn communicate_none_input() {
        run(async {
            let output = timeout(secs(60), async { cat().communicate(b"").await });
            let output = output.await.unwrap().unwrap();
            assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b""[..]));
        });
    }

    /// The shell's exit code is the process's.
    #[test]
    fn shell() {
        run(async {
            let status = Command::shell("exit 7").status().await.unwrap();
            assert_eq!(status.code(), Some(7));
        });
    }

    /// A process leads a group of its own.
    #[test]
    fn start_new_session() {
        run(async {
            let mut shell = Command::shell("echo $$ $(ps -o pgid= -p $$)");
            let output = shell.process_group(0).output().await.unwrap();
            let words = String::from_utf8(output.stdout).unwrap();
            let words: Vec<_> = words.split_whitespace().collect();
            // Some machines have no `ps`.
            assert!(words.len() < 2 || words[0] == words[1], "{words:?}");
        });
    }

    /// The wait for a process that is killed does not wait for a grandchild with its pipe.
    #[test]
    fn kill_issue43884() {
        run(async {
            let mut shell = Command::shell("sleep 3600 & echo; wait");
            let mut shell = shell
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .unwrap();
            let mut begun = [0];
            let stdout = shell.stdout.take().unwrap();
            stdout.read_exact(&mut begun).await.unwrap();
            // The whole group, so that no process is left. The pipe stays open here.
            shell.send_signal_to_group(Signal::KILL).unwrap();
            let status = timeout(secs(60), shell.wait()).await.unwrap();
            assert_eq!(status.unwrap().signal(), Some(9));
        });
    }

    /// SIGTERM is in the status.
    #[test]
    fn terminate() {
        run(async {
            let sleeper = sleeper();
            sleeper.terminate().unwrap();
            assert_eq!(sleeper.wait().await.unwrap().signal(), Some(15));
        });
    }

    /// A signal reaches the process.
    #[test]
    fn send_signal() {
        run(async {
            let sleeper = sleeper();
            sleeper.send_signal(Signal::HUP).unwrap();
            assert_eq!(sleeper.wait().await.unwrap().signal(), Some(1));
        });
    }

    /// The writing end of a pipe is in no other process: otherwise it would never end.
    #[test]
    fn stdin_not_inheritable() {
        run(async {
            let mut first = cat();
            let mut second = cat();
            let both = gather((first.communicate(b"1"), second.communicate(b"2")));
            let (first, second) = timeout(secs(60), both).await.unwrap();
            assert_eq!(first.unwrap().stdout, b"1");
            assert_eq!(second.unwrap().stdout, b"2");
        });
    }

    /// Empty input is the end of the input.
    #[test]
    fn empty_input() {
        run(async {
            let output = cat().communicate(&[]).await.unwrap();
            assert_eq!(output.stdout, b"");
            assert!(output.status.success());
        });
    }

    /// The null device as input.
    #[test]
    fn devnull_input() {
        run(async {
            let output = Command::new("cat")
                .stdin(Stdio::null())
                .output()
                .await
                .unwrap();
            assert_eq!(output.stdout, b"");
            assert!(output.status.success());
        });
    }

    /// The null device as output.
    #[test]
    fn devnull_output() {
        run(async {
            let mut echo = Command::new("echo");
            let output = echo
                .arg("hello")
                .stdout(Stdio::null())
                .output()
                .await
                .unwrap();
            assert_eq!(output.stdout, b"");
            assert!(output.status.success());
        });
    }

    /// The null device as standard error.
    #[test]
    fn devnull_error() {
        run(async {
            let mut shell = Command::shell("echo hello >&2");
            let output = shell.stderr(Stdio::null()).output().await.unwrap();
            assert_eq!(output.stderr, b"");
            assert!(output.status.success());
        });
    }

    /// A cancelled start leaves no process. Ours does not wait, so the request comes before or after it.
    #[test]
    fn cancel_make_subprocess_transport_exec() {
        run(async {
            let task = spawn(async {
                Command::new("sleep")
                    .arg("3600")
                    .grace(secs(60))
                    .status()
                    .await
            });
            yield_now().await;
            let mut children = Vec::new();
            for id in children_of_this_thread() {
                children.push(id);
            }
            task.cancel();
            assert!(task.await.is_err());
            let left = children_of_this_thread();
            assert!(children.iter().any(|id| !left.contains(id)) || children.is_empty());
        });
    }

    #[cfg(target_os = "linux")]
    fn children_of_this_thread() -> Vec<String> {
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    #[cfg(not(target_os = "linux"))]
    fn children_of_this_thread() -> Vec<String> {
        Vec::new()
    }

    fn exists(child: u32) -> bool {
        let path = format!("/proc/{child}");
        Path::new(&path).exists()
    }

    /// A process is killed with its handle, if that was asked for.
    #[test]
    fn close_kill_running() {
        run(async {
            let mut command = Command::new("sleep");
            let sleeper = command.arg("3600").kill_on_drop(true).spawn().unwrap();
            let id = sleeper.id();
            drop(sleeper);
            while exists(id) {
                sleep(ms(1)).await;
            }
        });
    }

    /// No signal goes to a process that has ended and was not reported yet: another one may have its number.
    #[test]
    fn close_dont_kill_finished() {
        run(async {
            let mut command = Command::new("true");
            let ended = command.kill_on_drop(true).spawn().unwrap();
            while ended.try_wait().unwrap().is_none() {
                yield_now().await;
            }
            // Nothing is sent: the status stays what it was.
            ended.kill().unwrap();
            assert!(ended.wait().await.unwrap().success());
        });
    }

    /// A program that does not exist is an error, and leaves nothing.
    #[test]
    fn popen_error() {
        run(async {
            let mut missing = Command::new("/xxx_does_not_exist");
            let error = missing.stdin(Stdio::piped()).spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }

    /// Output that a process has left behind can be read after its end.
    #[test]
    fn read_stdout_after_process_exit() {
        run(async {
            let mut seq = Command::new("seq");
            let mut seq = seq.arg("1000").stdout(Stdio::piped()).spawn().unwrap();
            seq.wait().await.unwrap();
            let mut left = Vec::new();
            let stdout = seq.stdout.take().unwrap();
            stdout.read_to_end(&mut left).await.unwrap();
            assert_eq!(left.iter().filter(|byte| **byte == b'\n').count(), 1000);
        });
    }

    /// Programs and arguments are paths and strings of any kind.
    #[test]
    fn create_subprocess_exec_with_path() {
        run(async {
            let mut echo = Command::new(Path::new("/bin/echo"));
            echo.arg(Path::new("a/b")).args([OsString::from("c")]);
            assert_eq!(echo.output().await.unwrap().stdout, b"a/b c\n");
        });
    }

    /// The environment reaches what a shell starts.
    #[test]
    fn create_subprocess_env_shell() {
        run(async {
            let mut shell = Command::shell("printenv FOO");
            let output = shell.env("FOO", "bar").output().await.unwrap();
            assert_eq!(output.stdout, b"bar\n");
        });
    }

    /// Ten tasks wait for one process, and may wait again.
    #[test]
    fn subprocess_concurrent_wait() {
        run(async {
            let shell = Rc::new(Command::shell("exit 3").spawn().unwrap());
            for _ in 0..2 {
                let codes = gather_iter((0..10).map(|_| shell.wait())).await;
                assert!(
                    codes
                        .into_iter()
                        .all(|code| code.unwrap().code() == Some(3))
                );
            }
        });
    }

    /// For each pipe its data come before its end. The last call is after all of them.
    #[test]
    fn subprocess_protocol_events() {
        #[derive(Clone, Default)]
        struct Events(Rc<RefCell<Vec<String>>>);

        impl SubprocessProtocol for Events {
            fn connection_made(&mut self, _: &SubprocessTransport) {
                self.0.borrow_mut().push("made".to_owned());
            }

            fn pipe_data_received(&mut self, _: &SubprocessTransport, fd: i32, data: &[u8]) {
                let data = String::from_utf8_lossy(data);
                self.0.borrow_mut().push(format!("{fd}: {}", data.trim()));
            }

            fn pipe_connection_lost(
                &mut self,
                _: &SubprocessTransport,
                fd: i32,
                error: Option<&io::Error>,
            ) {
                assert!(error.is_none());
                self.0.borrow_mut().push(format!("{fd} is lost"));
            }

            fn process_exited(&mut self, transport: &SubprocessTransport) {
                assert!(transport.try_wait().unwrap().is_some());
                self.0.borrow_mut().push("exited".to_owned());
            }

            fn connection_lost(&mut self, _: &SubprocessTransport) {
                self.0.borrow_mut().push("lost".to_owned());
            }
        }

        run(async {
            let events = Events::default();
            let mut shell = Command::shell("read line; echo $line; echo error >&2");
            let transport = shell.spawn_with_protocol(events.clone()).unwrap();
            transport.write("hello\n");
            transport.write_eof();
            assert!(transport.wait_closed().await.unwrap().success());
            let events = events.0.take();
            let at = |what: &str| events.iter().position(|event| event == what).unwrap();
            assert_eq!(events.len(), 7, "{events:?}");
            assert_eq!((at("made"), at("lost")), (0, 6));
            assert!(at("1: hello") < at("1 is lost") && at("2: error") < at("2 is lost"));
            assert!(at("exited") < 6);
        });
    }

    /// Ten processes at once, each with its output.
    #[test]
    fn subprocess_communicate_stdout() {
        run(async {
            let outputs = gather_iter((0..10).map(|n| async move {
                let mut shell = Command::shell("echo $0 one; echo $0 two");
                shell.arg(n.to_string()).output().await.unwrap().stdout
            }));
            for (n, output) in outputs.await.into_iter().enumerate() {
                assert_eq!(output, format!("{n} one\n{n} two\n").into_bytes());
            }
        });
    }

    /// A signal to a process that is about to end takes no status.
    #[test]
    fn subprocess_send_signal_race() {
        run(async {
            for wait in [Duration::ZERO, ms(1), ms(2)] {
                let shell = Command::shell("exit 23").spawn().unwrap();
                let _ = move_on_after(wait, shell.wait()).await;
                shell.send_signal(Signal::WINCH).unwrap();
                assert_eq!(shell.wait().await.unwrap().code(), Some(23));
            }
        });
    }
}

/// Processes of a loop that is not on the main thread.
mod generic_watcher_tests {
    use std::thread;

    use asyncio::process::Command;
    use asyncio::run;

    /// They need neither SIGCHLD nor the main thread.
    #[test]
    fn create_subprocess_with_pidfd() {
        let elsewhere = thread::spawn(|| {
            run(async {
                let mut echo = Command::new("echo");
                let output = echo.arg("hello").output().await.unwrap();
                (output.status.code(), output.stdout)
            })
        });
        assert_eq!(elsewhere.join().unwrap(), (Some(0), b"hello\n".to_vec()));
    }
}
