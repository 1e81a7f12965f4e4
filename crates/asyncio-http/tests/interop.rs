//! Other programs as clients and servers: curl, and Python's standard library. A program that is missing is skipped with a note.
#![cfg(unix)]

mod support;

use std::process::{Command, Output, Stdio};

use asyncio::http::{Request, Response, Server, Session, body};
use asyncio::{BoxError, to_thread};
use support::*;

/// Runs a program to its end while the loop goes on; `None` if it is missing.
async fn run(program: &'static str, arguments: Vec<String>) -> Option<Output> {
    let output = to_thread(move || {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
    });
    match output.await.unwrap() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("note: `{program}` is missing, so nothing was tried with it");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

async fn curl(arguments: &[&str]) -> Option<String> {
    let always = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--noproxy",
        "*",
    ];
    let arguments = always.iter().chain(arguments).map(|&one| one.to_owned());
    let output = run("curl", arguments.collect()).await?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Some(format!("{out}{err}"))
}

async fn server() -> Server {
    start(async |request: Request| -> Response {
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/large" => {
                let pieces = (0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(10_000)));
                Response::new(body::from_stream(futures::stream::iter(pieces)))
            }
            path => {
                let size = body::to_bytes(body, 10_000_000).await.unwrap().len();
                Response::new(format!("{:?} {} {path} {size}", parts.version, parts.method).into())
            }
        }
    })
    .await
}

#[asyncio::test(clock = "real")]
async fn curl_as_a_client() -> Outcome {
    let server = server().await;
    let at = |path| url(&server, path);
    let Some(text) = curl(&[&at("/a")]).await else {
        return Ok(());
    };
    assert_eq!(text, "HTTP/1.1 GET /a 0");
    assert_eq!(curl(&[&at("/large")]).await.unwrap().len(), 1_000_000);
    let large = "y".repeat(100_000); // with `Expect: 100-continue`
    let text = curl(&["--data-binary", &large, &at("/post")])
        .await
        .unwrap();
    assert_eq!(text, "HTTP/1.1 POST /post 100000");
    let chunked = [
        "--header",
        "Transfer-Encoding: chunked",
        "--data-binary",
        "abc",
    ];
    let text = curl(&[&chunked[..], &[&at("/chunked")]].concat())
        .await
        .unwrap();
    assert_eq!(text, "HTTP/1.1 POST /chunked 3");
    // Several over one connection.
    let text = curl(&[&at("/1"), &at("/2"), &at("/3")]).await.unwrap();
    assert_eq!(text, "HTTP/1.1 GET /1 0HTTP/1.1 GET /2 0HTTP/1.1 GET /3 0");
    let text = curl(&["--http1.0", &at("/old")]).await.unwrap();
    assert_eq!(text, "HTTP/1.0 GET /old 0");
    Ok(())
}

#[cfg(feature = "http2")]
#[asyncio::test(clock = "real")]
async fn curl_as_a_client_of_http2() -> Outcome {
    let server = server().await;
    let prior = "--http2-prior-knowledge";
    let Some(text) = curl(&[prior, &url(&server, "/a")]).await else {
        return Ok(());
    };
    if text.contains("does not support") {
        eprintln!("note: this curl speaks no HTTP/2");
        return Ok(());
    }
    assert_eq!(text, "HTTP/2.0 GET /a 0");
    let text = curl(&[prior, &url(&server, "/large")]).await.unwrap();
    assert_eq!(text.len(), 1_000_000);
    let large = "y".repeat(100_000);
    let text = curl(&[prior, "--data-binary", &large, &url(&server, "/post")])
        .await
        .unwrap();
    assert_eq!(text, "HTTP/2.0 POST /post 100000");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn python_as_a_client() -> Outcome {
    let server = server().await;
    let address = server.addresses()[0];
    let program = format!(
        "import http.client\n\
         c = http.client.HTTPConnection('{}', {}, timeout=20)\n\
         for n in range(3):\n    \
             c.request('POST', f'/{{n}}', body=b'z' * n)\n    \
             print(c.getresponse().read().decode())\n\
         c.request('POST', '/chunked', body=iter([b'ab', b'c']), encode_chunked=True)\n\
         print(c.getresponse().read().decode())\n",
        address.ip(),
        address.port()
    );
    let Some(output) = run("python3", vec!["-c".into(), program]).await else {
        return Ok(());
    };
    let expected =
        "HTTP/1.1 POST /0 0\nHTTP/1.1 POST /1 1\nHTTP/1.1 POST /2 2\nHTTP/1.1 POST /chunked 3\n";
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expected,
        "{output:?}"
    );
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn python_as_a_server() -> Outcome {
    // Ends when its standard input does.
    let program = "import http.server, sys, threading\n\
        class H(http.server.BaseHTTPRequestHandler):\n    \
            protocol_version = 'HTTP/1.1'\n    \
            def do_POST(self):\n        \
                body = self.rfile.read(int(self.headers['Content-Length']))\n        \
                self.send_response(200)\n        \
                self.send_header('Content-Length', str(len(body)))\n        \
                self.end_headers()\n        \
                self.wfile.write(body[::-1])\n    \
            def log_message(self, *a): pass\n\
        s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n\
        s.daemon_threads = True\n\
        threading.Thread(target=s.serve_forever, daemon=True).start()\n\
        print(s.server_address[1], flush=True)\n\
        sys.stdin.read()\n";
    let started = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        eprintln!("note: `python3` is missing, so nothing was tried with it");
        return Ok(());
    };
    let out = child.stdout.take().unwrap();
    let port = to_thread(move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).map(|_| line)
    });
    let port: u16 = port.await??.trim().parse()?;
    let session = Session::new();
    for text in ["abc", "", "defg"] {
        let response = session
            .post(format!("http://127.0.0.1:{port}/"))
            .body(text)
            .send()
            .await?;
        let reversed: String = text.chars().rev().collect();
        assert_eq!(response.text().await?, reversed);
    }
    assert_eq!(session.idle_connections(), 1);
    drop(child.stdin.take());
    to_thread(move || child.wait()).await??;
    Ok::<_, BoxError>(())
}
