//! reqwest in children of a task group: all pages at once, under one time limit.
//!
//! A page that fails cancels the others, and the group returns when they have ended. HTTP/1, HTTP/2 and TLS are
//! reqwest's.
//!
//! `fetch_pages [--root CERTIFICATE.pem] URL…`

use std::time::Duration;

use asyncio::{BoxError, TaskGroup, task_group, timeout};
use reqwest::{Certificate, Client, Version};

/// A page: its address, the version of HTTP, and its length.
type Page = (String, Version, usize);

async fn fetch(client: &Client, url: &str) -> Result<Page, BoxError> {
    let response = client.get(url).send().await?.error_for_status()?;
    let version = response.version();
    let body = response.bytes().await?;
    Ok((url.to_owned(), version, body.len()))
}

async fn fetch_all(client: &Client, urls: &[String]) -> Result<Vec<Page>, BoxError> {
    let pages = task_group(async |tg: TaskGroup<'_>| {
        // The children borrow the client and the addresses.
        let fetching: Vec<_> = urls
            .iter()
            .map(|url| tg.spawn(fetch(client, url)))
            .collect();
        let mut pages = Vec::new();
        for child in fetching {
            pages.push(child.await?);
        }
        Ok(pages)
    });
    Ok(pages.await?)
}

#[asyncio::main(host = "tokio")]
async fn main() -> Result<(), BoxError> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder().no_proxy();
    if arguments.len() > 1 && arguments[0] == "--root" {
        arguments.remove(0);
        let file = arguments.remove(0);
        // A blocking call, on a thread of our default pool.
        let certificate = asyncio::to_thread(move || std::fs::read(file)).await??;
        client = client.tls_certs_only([Certificate::from_pem(&certificate)?]);
    }
    let client = client.build()?;
    for (url, version, length) in
        timeout(Duration::from_secs(10), fetch_all(&client, &arguments)).await??
    {
        println!("{url}: {version:?}, {length} bytes");
    }
    Ok(())
}
