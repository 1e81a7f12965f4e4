//! Writing to a process and reading from it at once.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::task::Poll;

use crate::pipe::{PipeReader, PipeWriter};

/// Writes the input, reads both outputs and waits for the end, all at once. The first error ends it.
pub(super) async fn communicate(
    input: &[u8],
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    end: impl Future<Output = io::Result<ExitStatus>>,
) -> io::Result<(Vec<u8>, Vec<u8>, ExitStatus)> {
    if stdin.is_none() && !input.is_empty() {
        let message = "there is input, but the standard input of the process is not piped";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut feed = pin!(feed(stdin, input));
    let mut stdout = pin!(collect(stdout));
    let mut stderr = pin!(collect(stderr));
    let mut end = pin!(end);
    let (mut fed, mut output, mut errors, mut status) = (None, None, None, None);
    poll_fn(|cx| {
        macro_rules! poll_into {
            ($slot:ident, $future:ident) => {
                if $slot.is_none()
                    && let Poll::Ready(outcome) = $future.as_mut().poll(cx)?
                {
                    $slot = Some(outcome);
                }
            };
        }
        poll_into!(fed, feed);
        poll_into!(output, stdout);
        poll_into!(errors, stderr);
        poll_into!(status, end);
        match fed.is_some() && output.is_some() && errors.is_some() && status.is_some() {
            true => Poll::Ready(io::Result::Ok(())),
            false => Poll::Pending,
        }
    })
    .await?;
    match (output, errors, status) {
        (Some(output), Some(errors), Some(status)) => Ok((output, errors, status)),
        _ => unreachable!("all of them are there"),
    }
}

/// Writes all of `input`, then closes the pipe.
async fn feed(stdin: Option<PipeWriter>, input: &[u8]) -> io::Result<()> {
    let Some(stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await {
        // The process does not want it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        written => written,
    }
}

async fn collect(pipe: Option<PipeReader>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use asyncio_loop::run;
    use rustix::io::Errno;

    use super::*;
    use crate::pipe::connect_write_pipe;

    #[test]
    fn an_error_of_the_input_is_none_only_if_the_process_does_not_want_it() {
        run(async {
            // Too long for one datagram.
            let (ours, _theirs) = UnixDatagram::pair().unwrap();
            let stdin = connect_write_pipe(OwnedFd::from(ours)).unwrap();
            let error = feed(Some(stdin), &vec![0; 16 << 20]).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let stdin = connect_write_pipe(writer).unwrap();
            feed(Some(stdin), b"unwanted").await.unwrap();
        });
    }
}
