//! nginx as a server, and as a proxy before a server of ours.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use super::*;

/// An nginx that ends with its test.
struct Nginx {
    child: Child,
    directory: PathBuf,
    ports: Vec<u16>,
}

impl Nginx {
    /// Starts an nginx with these servers, each of them on a port of its own; `None` if it is missing.
    async fn start(name: &str, servers: &[String]) -> Option<Self> {
        let installed = ["nginx", "/usr/sbin/nginx"]
            .into_iter()
            .find(|program| Command::new(program).arg("-v").output().is_ok());
        if !missing_unless(installed.is_some(), "nginx") {
            return None;
        }
        let directory = format!("asyncio-nginx-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        // nginx takes no port 0. Another program may take a free port first, so this is tried again.
        for _ in 0..10 {
            let free = servers
                .iter()
                .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
            let free: Vec<_> = free.collect();
            let ports: Vec<_> = free
                .iter()
                .map(|one| one.local_addr().unwrap().port())
                .collect();
            drop(free);
            let servers = servers.iter().zip(&ports);
            let servers = servers.map(|(server, port)| server.replace("PORT", &port.to_string()));
            let settings = format!(
                "daemon off; master_process off; pid {0}/pid; error_log stderr;\n\
                 events {{}}\n\
                 http {{\n\
                     access_log off;\n\
                     client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
                     fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
                     {1}\n\
                 }}\n",
                directory.display(),
                servers.collect::<String>()
            );
            std::fs::write(directory.join("nginx.conf"), settings).unwrap();
            let mut child = Command::new(installed?)
                .arg("-p")
                .arg(&directory)
                .arg("-c")
                .arg(directory.join("nginx.conf"))
                .args(["-e", "stderr"])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            while child.try_wait().unwrap().is_none() {
                let answers = |&port: &u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
                if ports.iter().all(answers) {
                    return Some(Self {
                        child,
                        directory,
                        ports,
                    });
                }
                asyncio::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("nginx does not start");
    }

    fn url(&self, server: usize, path: &str) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], self.ports[server]));
        format!("http://{address}{path}")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[asyncio::test(clock = "real")]
async fn as_a_proxy() -> Outcome {
    let server = server().await;
    let proxy = format!(
        "upstream ours {{ server {}; keepalive 4; }}\n\
         server {{\n\
             listen 127.0.0.1:PORT;\n\
             client_max_body_size 10m;\n\
             proxy_request_buffering off;\n\
             location / {{\n\
                 proxy_pass http://ours; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             }}\n\
             location /ws {{\n\
                 proxy_pass http://ours; proxy_http_version 1.1;\n\
                 proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;\n\
             }}\n\
         }}\n",
        server.addresses()[0]
    );
    let Some(nginx) = Nginx::start("proxy", &[proxy]).await else {
        return Ok(());
    };
    let session = Session::new();
    let text = async |path: &str, body: RequestBody| {
        let post = session.post(nginx.url(0, path)).body(body);
        Ok::<_, BoxError>(post.send().await?.text().await?)
    };
    assert_eq!(text("/a", "abc".into()).await?, "HTTP/1.1 POST /a 3");
    let large = vec![0; 5_000_000].into();
    assert_eq!(
        text("/large-body", large).await?,
        "HTTP/1.1 POST /large-body 5000000"
    );
    let pieces = futures::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>("x".repeat(1000))));
    let chunked = body::from_stream(pieces).into();
    assert_eq!(
        text("/chunked", chunked).await?,
        "HTTP/1.1 POST /chunked 50000"
    );
    assert_eq!(text("/large", "".into()).await?.len(), 1_000_000);
    let many = asyncio::gather_iter((0..200).map(|_| text("/b", "".into()))).await;
    for text in many {
        assert_eq!(text?, "HTTP/1.1 POST /b 0");
    }
    assert!(server.connections() <= 4, "nginx keeps connections");
    #[cfg(feature = "websocket")]
    {
        let socket = session.get(nginx.url(0, "/ws")).websocket().await?;
        socket.send("hi").await?;
        assert_eq!(socket.recv().await?.unwrap().to_text()?, "hi");
        socket.close().await?;
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn as_a_server() -> Outcome {
    let page = "return 200 \"$request_method $server_protocol\\n\"";
    // It closes each connection after three requests.
    let short = format!(
        "server {{ listen 127.0.0.1:PORT; keepalive_requests 3; location / {{ {page}; }} }}\n"
    );
    let http2 = format!("server {{ listen 127.0.0.1:PORT http2; location / {{ {page}; }} }}\n");
    let Some(nginx) = Nginx::start("server", &[short, http2]).await else {
        return Ok(());
    };
    let session = Session::builder().max_per_host(4).build();
    let fetch = async |_| {
        let post = session.post(nginx.url(0, "/")).body("not repeated");
        post.send().await?.text().await
    };
    for text in asyncio::gather_iter((0..50).map(fetch)).await {
        assert_eq!(text?, "POST HTTP/1.1\n");
    }
    #[cfg(feature = "http2")]
    {
        let session = Session::builder().http2_prior_knowledge(true).build();
        let fetch = async |_| session.get(nginx.url(1, "/")).send().await?.text().await;
        for text in asyncio::gather_iter((0..200).map(fetch)).await {
            assert_eq!(text?, "GET HTTP/2.0\n");
        }
    }
    Ok(())
}
