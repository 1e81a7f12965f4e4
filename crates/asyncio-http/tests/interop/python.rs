//! Python's standard library, aiohttp and httpx as clients and servers.

use std::path::{Path, PathBuf};

use super::*;

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
    let Some(output) = run(Command::new("python3").args(["-c", &program])).await else {
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
    let Some(mut program) = Running::start(Command::new("python3").args(["-c", program])) else {
        return Ok(());
    };
    let port: u16 = program.line().await?.parse()?;
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
    program.end().await
}

/// The libraries that `cargo xtask setup` installs.
fn peers() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers")
}

pub(super) fn has_peers() -> bool {
    missing_unless(peers().join("aiohttp").exists(), "aiohttp with httpx")
}

pub(super) fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", peers()).args(["-c", program]);
    command
}

#[cfg(feature = "websocket")]
#[asyncio::test(clock = "real")]
async fn aiohttp_as_a_client() -> Outcome {
    if !has_peers() {
        return Ok(());
    }
    let server = server().await;
    let program = include_str!("aiohttp_client.py");
    let output = run(python(program).arg(url(&server, ""))).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "HTTP/1.1 GET /a 0\n\
         HTTP/1.1 POST /chunked 10000\n\
         HTTP/1.1 POST /expect 2000\n\
         1000000\n\
         100 pages\n\
         hi 200000\n\
         closed: 1000\n\
         too large: 1009\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(feature = "http2")]
#[asyncio::test(clock = "real")]
async fn httpx_as_a_client() -> Outcome {
    if !has_peers() {
        return Ok(());
    }
    let server = server().await;
    let program = include_str!("httpx_client.py");
    let output = run(python(program).arg(url(&server, ""))).await.unwrap();
    let each = |version| {
        format!("HTTP/{version} GET /a 0\nHTTP/{version} POST /form 3\n1000000\n100 pages\n")
    };
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        each("1.1") + &each("2.0"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(all(feature = "websocket", feature = "gzip"))]
#[asyncio::test(clock = "real")]
async fn aiohttp_as_a_server() -> Outcome {
    if !has_peers() {
        return Ok(());
    }
    let mut program = Running::start(&mut python(include_str!("aiohttp_server.py"))).unwrap();
    let port: u16 = program.line().await?.parse()?;
    let at = |path| format!("http://127.0.0.1:{port}{path}");
    let session = Session::new();
    let pieces =
        || futures::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>("x".repeat(1000))));
    let count = session.post(at("/count")).body(body::from_stream(pieces()));
    assert_eq!(count.send().await?.text().await?, "50000");
    // It answers before it has the body, and closes.
    let early = session.post(at("/early")).body(vec![0; 10_000_000]);
    assert_eq!(early.send().await?.status(), 413);
    let compressed = session.get(at("/compressed")).send().await?;
    assert_eq!(compressed.text().await?.len(), 100_000);
    let redirected = session.post(at("/redirect")).body("x").send().await?;
    assert_eq!(redirected.text().await?, "0");
    session.get(at("/cookie")).send().await?.text().await?;
    let cookie = session.get(at("/cookie")).send().await?;
    assert_eq!(cookie.text().await?, "a=\"b c\"");
    // It closes connections after 50 ms.
    for _ in 0..3 {
        assert_eq!(session.get(at("/count")).send().await?.text().await?, "0");
        asyncio::sleep(std::time::Duration::from_millis(50)).await;
    }
    let socket = session.get(at("/ws")).websocket().await?;
    socket.send("hi").await?;
    let echo = socket.recv().await?.unwrap();
    assert_eq!(echo.to_text()?, "echo hi");
    socket.close().await?;
    program.end().await
}
