//! The most frequent words of files, by a pipeline of programs that the loop feeds and reads.
//!
//! Usage: `pipeline FILE…`.

#[cfg(not(unix))]
fn main() {
    eprintln!("subprocesses are for Unix only");
}

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    asyncio::run(unix::most_frequent_words())
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::path::PathBuf;

    use asyncio::fs::File;
    use asyncio::gather;
    use asyncio::net::StreamReader;
    use asyncio::pipe::PipeWriter;
    use asyncio::process::{Command, Stdio};

    pub(crate) async fn most_frequent_words() -> io::Result<()> {
        let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
        // tr -cs A-Za-z '\n' | tr A-Z a-z | sort | uniq -c | sort -rn | head -n 5
        let mut running = command("tr", &["-cs", "A-Za-z", "\n"], |words| {
            words.stdin(Stdio::piped());
        })
        .pipe(command("tr", &["A-Z", "a-z"], |_| ()))
        .pipe(command("sort", &[], |_| ()))
        .pipe(command("uniq", &["-c"], |_| ()))
        .pipe(command("sort", &["-rn"], |_| ()))
        .pipe(command("head", &["-n", "5"], |first| {
            first.stdout(Stdio::piped());
        }))
        .spawn()?;
        let input = running.first().stdin.take().expect("it is piped");
        let mut lines = StreamReader::new(running.last().stdout.take().expect("it is piped"));
        let print = async {
            while let Some(line) = lines.next_line().await? {
                println!("{}", line.trim_start());
            }
            io::Result::Ok(())
        };
        let (fed, printed) = gather((feed(&files, input), print)).await;
        fed?;
        printed?;
        let statuses = running.wait().await?;
        if let Some(failed) = statuses.iter().find(|status| !status.success()) {
            eprintln!("pipeline: a program failed: {failed}");
        }
        Ok(())
    }

    fn command(program: &str, args: &[&str], set: impl FnOnce(&mut Command)) -> Command {
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C");
        set(&mut command);
        command
    }

    /// Writes the files to the first program, and closes its input.
    async fn feed(files: &[PathBuf], input: PipeWriter) -> io::Result<()> {
        let mut buf = vec![0; 64 * 1024];
        for path in files {
            let mut file = File::open(path).await?;
            loop {
                match file.read(&mut buf).await? {
                    0 => break,
                    n => input.write_all(&buf[..n]).await?,
                }
            }
        }
        Ok(())
    }
}
