//! Files, events and forms.

use std::time::Duration;

use crate::support::*;
use asyncio::http::files::Files;
use asyncio::http::sse::{Event, Sse};
use asyncio::http::{Method, Request, Server, Session, StatusCode};
use futures::{StreamExt as _, stream};

mod files {
    use super::*;
    use std::path::PathBuf;

    /// More bytes than one piece of an answer, no two pieces alike.
    fn large() -> Vec<u8> {
        (0..300_000).map(|n: u32| (n % 251) as u8).collect()
    }

    /// A directory with some files, removed at the end.
    struct Site(PathBuf);

    impl Site {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("asyncio-http-{name}-{}", std::process::id()));
            let site = root.join("site");
            std::fs::create_dir_all(site.join("sub/empty")).unwrap();
            std::fs::write(root.join("secret.txt"), "secret").unwrap();
            std::fs::write(site.join("index.html"), "<p>home").unwrap();
            std::fs::write(site.join("a b.txt"), "0123456789").unwrap();
            std::fs::write(site.join("sub/index.html"), "<p>sub").unwrap();
            std::fs::write(site.join(".hidden"), "hidden").unwrap();
            std::fs::write(site.join("large.bin"), large()).unwrap();
            std::fs::write(site.join("empty.css"), "").unwrap();
            #[cfg(unix)]
            for (link, to) in [
                ("link.txt", root.join("secret.txt")),
                ("gone.txt", site.join("nothing")),
                ("circle.txt", site.join("circle.txt")),
                ("there", site.join("back")),
                ("back", site.join("there")),
            ] {
                std::os::unix::fs::symlink(to, site.join(link)).unwrap();
            }
            Self(root)
        }

        async fn serve(&self) -> Server {
            let files = Files::below(self.0.join("site"));
            start(async move |request: Request| files.respond(&request).await).await
        }
    }

    impl Drop for Site {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[asyncio::test(clock = "real")]
    async fn paths_name_files_and_nothing_else() -> Outcome {
        let site = Site::new("paths");
        let server = site.serve().await;
        let session = Session::new();
        for (path, code, kind, length) in [
            ("/", 200, "text/html; charset=utf-8", 7),
            ("/a%20b.txt", 200, "text/plain; charset=utf-8", 10),
            ("/sub", 200, "text/html; charset=utf-8", 6), // after a redirect
            ("/large.bin", 200, "application/octet-stream", 300_000),
            ("/empty.css", 200, "text/css; charset=utf-8", 0),
            ("/sub/empty/", 404, "", 0),
            ("/a%20b.txt/", 404, "", 0),
            ("/nothing", 404, "", 0),
            ("/link.txt", 404, "", 0),
            ("/gone.txt", 404, "", 0),
            ("/circle.txt", 404, "", 0),
            ("/there/page.html", 404, "", 0),
            ("/.hidden", 404, "", 0),
            ("/%2e%2e/secret.txt", 404, "", 0),
            ("/sub/..%2f..%2fsecret.txt", 404, "", 0),
        ] {
            let response = session.get(url(&server, path)).send().await?;
            assert_eq!(response.status().as_u16(), code, "{path}");
            assert_eq!(
                response.header("content-type").unwrap_or_default(),
                kind,
                "{path}"
            );
            assert_eq!(response.bytes().await?.len(), length, "{path}");
        }
        let raw = answers(&server, "GET /../secret.txt HTTP/1.0\r\n\r\n").await;
        assert_eq!(status(&raw), "404");
        let posted = session.post(url(&server, "/")).send().await?;
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(posted.header("allow"), Some("GET, HEAD"));
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn ranges_and_conditions() -> Outcome {
        let site = Site::new("ranges");
        let server = site.serve().await;
        let session = Session::new();
        let get = |headers: &[(&str, &str)]| {
            let mut request = session.get(url(&server, "/a%20b.txt"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.send()
        };
        let whole = get(&[]).await?;
        let tag = whole.header("etag").unwrap().to_owned();
        let date = whole.header("last-modified").unwrap().to_owned();
        assert_eq!(whole.text().await?, "0123456789");
        let other = session.get(url(&server, "/large.bin")).send().await?;
        let others = other.header("etag").unwrap().to_owned();
        assert!(other.bytes().await? == large());
        let later = "Thu, 01 Jan 2150 00:00:00 GMT";
        let long_ago = "Thu, 01 Jan 1970 00:00:00 GMT";

        for (headers, code, text, range) in [
            (&[("range", "bytes=2-4")][..], 206, "234", "bytes 2-4/10"),
            (&[("range", "bytes=-3")], 206, "789", "bytes 7-9/10"),
            (&[("range", "bytes=10-")], 416, "", "bytes */10"),
            (
                &[("range", "bytes=0-1"), ("if-range", &date)],
                206,
                "01",
                "bytes 0-1/10",
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", later)],
                200,
                "0123456789",
                "",
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", &tag)],
                200,
                "0123456789",
                "",
            ),
            (&[("if-none-match", &tag)], 304, "", ""),
            (&[("if-none-match", &others)], 200, "0123456789", ""),
            (&[("if-none-match", "\"x\", *")], 304, "", ""),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", later)],
                200,
                "0123456789",
                "",
            ),
            (&[("if-modified-since", &date)], 304, "", ""),
            (&[("if-match", "*")], 200, "0123456789", ""),
            (&[("if-match", &tag)], 412, "", ""),
            (&[("if-unmodified-since", &date)], 200, "0123456789", ""),
            (&[("if-unmodified-since", long_ago)], 412, "", ""),
            (&[("if-modified-since", "nonsense")], 200, "0123456789", ""),
        ] {
            let response = get(headers).await?;
            assert_eq!(response.status().as_u16(), code, "{headers:?}");
            assert_eq!(
                response.header("content-range").unwrap_or_default(),
                range,
                "{headers:?}"
            );
            assert_eq!(response.text().await?, text, "{headers:?}");
        }
        let head = session
            .request(Method::HEAD, url(&server, "/large.bin"))
            .send()
            .await?;
        assert_eq!(head.header("content-length"), Some("300000"));
        assert_eq!(head.bytes().await?.len(), 0);
        Ok(())
    }
}

mod events {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn arrive_one_by_one_and_silence_is_kept_alive() -> Outcome {
        let server = start(async |_: Request| {
            let first =
                stream::once(async { Event::data("one\ntwo\rthree").event("na\nme").id("7") });
            Sse::new(first.chain(stream::pending())).keep_alive(Duration::from_millis(5))
        })
        .await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(
            raw.until("\r\n\r\n")
                .await
                .contains("content-type: text/event-stream\r\n")
        );
        let first = raw.until(":\n\n\r\n").await;
        assert!(
            first.contains("id: 7\nevent: name\ndata: one\ndata: two\ndata: three\n\n"),
            "{first}"
        );
        // The server finds that the client is gone.
        drop(raw);
        eventually("it is gone", || server.connections() == 0).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn end_when_the_server_stops() -> Outcome {
        let server = start(async |request: Request| {
            let end = asyncio::http::closing(&request);
            Sse::new(stream::pending().take_until(Box::pin(end)))
        })
        .await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.until("\r\n\r\n").await;
        assert!(server.shutdown(LONG).await);
        assert_eq!(raw.rest().await, "0\r\n\r\n");
        Ok(())
    }
}

#[cfg(feature = "multipart")]
mod forms {
    use super::*;
    use asyncio::http::multipart::{Limits, Multipart, MultipartError};

    async fn read(request: Request) -> Result<String, MultipartError> {
        let limits = Limits::default().fields(3).field_bytes(1000);
        let mut form = Multipart::of(request, limits)?;
        let mut text = String::new();
        while let Some(field) = form.next_field().await? {
            let file = field.file_name().unwrap_or("-").to_owned();
            let name = field.name().unwrap_or_default().to_owned();
            text += &format!("{name} {file} {}; ", field.bytes().await?.len());
        }
        Ok(text)
    }

    #[asyncio::test(clock = "real")]
    async fn a_field_is_text_or_pieces() -> Outcome {
        let server = start(async |request: Request| -> Result<String, MultipartError> {
            let mut form = Multipart::of(request, Limits::default())?;
            let text = form.next_field().await?.unwrap().text().await?;
            let mut field = form.next_field().await?.unwrap();
            let mut pieces = Vec::new();
            while let Some(piece) = field.chunk().await? {
                pieces.extend_from_slice(&piece);
            }
            Ok(format!("{text}, {}", pieces.len()))
        })
        .await;
        let body = form(&[("a", 5), ("b", 100_000)]).replacen("xxxxx", "grün", 1);
        let request = Session::new().post(url(&server, "/"));
        let request = request.header("content-type", "multipart/form-data; boundary=b");
        let answer = request.body(body).send().await?.text().await?;
        assert_eq!(answer, "grün, 100000");
        Ok(())
    }

    fn form(fields: &[(&str, usize)]) -> String {
        let mut body = String::new();
        for (name, length) in fields {
            let content = "x".repeat(*length);
            body += &format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n{content}\r\n"
            );
        }
        body + "--b--\r\n"
    }

    #[asyncio::test(clock = "real")]
    async fn fields_come_one_by_one_within_limits() -> Outcome {
        let server = start(read).await;
        let session = Session::new();
        let many = [("a", 1); 4];
        for (body, code, text) in [
            (form(&[("a", 5), ("b", 1000)]), 200, "a f 5; b f 1000; "),
            (form(&[("a", 1001)]), 413, ""),
            (form(&many), 413, ""),
            (form(&[(&"a".repeat(70_000), 5)]), 413, ""),
            ("nonsense".to_owned(), 400, ""),
            (form(&[("a", 5)]).replace("--b--", ""), 400, ""),
        ] {
            let request = session.post(url(&server, "/"));
            let kind = "multipart/form-data; boundary=b";
            let response = request
                .header("content-type", kind)
                .body(body)
                .send()
                .await?;
            assert_eq!(response.status().as_u16(), code);
            let answer = response.text().await?;
            assert!(code != 200 || answer == text, "{answer}");
        }
        let plain = session.post(url(&server, "/")).body("x").send().await?;
        assert_eq!(plain.status(), StatusCode::BAD_REQUEST);
        Ok(())
    }
}
