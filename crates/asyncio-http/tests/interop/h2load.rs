//! h2load as a client: many requests at a time, over HTTP/1 and HTTP/2.

use super::*;

#[asyncio::test(clock = "real")]
async fn as_a_client() -> Outcome {
    let server = server().await;
    for options in [
        &["--h1", "-m4"][..],
        #[cfg(feature = "http2")]
        &["-m32"],
    ] {
        let page = url(&server, "/a");
        let arguments = ["-n2000", "-c8", &page];
        let Some(output) = run(Command::new("h2load").args(options).args(arguments)).await else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("2000 succeeded, 0 failed"), "{text}");
        assert!(text.contains("2000 2xx"), "{text}");
    }
    Ok(())
}
