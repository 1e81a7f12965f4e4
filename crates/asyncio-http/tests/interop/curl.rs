//! curl as a client.

use super::*;

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
    let output = run(Command::new("curl").args(arguments)).await?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Some(format!("{out}{err}"))
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
