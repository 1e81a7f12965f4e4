//! Servers on loopback, which end with their test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A directory that is removed with the server.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("asyncio-{name}-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether `program` is installed. Without it a test is skipped, except in CI, which installs it.
fn is_installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    assert!(
        found || env::var_os("CI").is_none(),
        "CI installs {program}"
    );
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

/// Waits until a server listens on its Unix socket.
fn await_socket(path: &Path, server: &mut Child) {
    let end = Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(path).is_err() {
        assert_eq!(server.try_wait().unwrap(), None, "the server has ended");
        assert!(Instant::now() < end, "{path:?} never listens");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A server of pages: HTTP/1 and HTTP/2 without TLS, and both with TLS.
pub(crate) struct Pages {
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
    /// The file of the certificate.
    pub(crate) certificate: PathBuf,
    _directory: Directory,
}

impl Pages {
    pub(crate) fn start() -> Self {
        let directory = Directory::new("pages");
        let certificate = directory.join("certificate.pem");
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&certificate, signed.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (plain, secure) = (bind(), bind());
        let addresses = [&plain, &secure].map(|listener| listener.local_addr().unwrap());
        // It ends with the process of the tests.
        thread::spawn(move || asyncio::tokio::run(serve(plain, secure, Arc::new(config))));
        Self {
            plain: addresses[0],
            secure: addresses[1],
            certificate,
            _directory: directory,
        }
    }
}

fn bind() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

async fn serve(
    plain: std::net::TcpListener,
    secure: std::net::TcpListener,
    config: Arc<ServerConfig>,
) {
    let plain = TcpListener::from_std(plain).unwrap();
    let secure = TcpListener::from_std(secure).unwrap();
    let tls = TlsAcceptor::from(config);
    let _plain = asyncio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            asyncio::spawn(connection(TokioIo::new(stream))).detach();
        }
    });
    while let Ok((stream, _)) = secure.accept().await {
        let tls = tls.clone();
        asyncio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                connection(TokioIo::new(stream)).await;
            }
        })
        .detach();
    }
}

async fn connection<S>(stream: TokioIo<S>)
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let server = auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(stream, service_fn(page)).await;
}

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let mut response = Response::new(Full::from(format!("the page {path}")));
    match path {
        "/missing" => *response.status_mut() = StatusCode::NOT_FOUND,
        "/silent" => std::future::pending().await,
        _ => {}
    }
    Ok(response)
}

/// A server of redis, on a Unix socket.
pub(crate) struct Redis {
    server: Child,
    socket: PathBuf,
    _directory: Directory,
}

impl Redis {
    pub(crate) fn start() -> Option<Self> {
        if !is_installed("redis-server") {
            return None;
        }
        let directory = Directory::new("redis");
        let socket = directory.join("redis.sock");
        let mut server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--dir"])
            .arg(&directory.0)
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        await_socket(&socket, &mut server);
        Some(Self {
            server,
            socket,
            _directory: directory,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A server of PostgreSQL, on a Unix socket.
pub(crate) struct Postgres {
    server: Child,
    directory: Directory,
}

/// Where Debian puts the programs of a server.
const DEBIAN: &str = "/usr/lib/postgresql";

impl Postgres {
    pub(crate) fn start() -> Option<Self> {
        let programs = programs_of_postgres();
        let program = |name: &str| match &programs {
            Some(programs) => programs.join(name).display().to_string(),
            None => name.to_owned(),
        };
        if !is_installed(&program("postgres")) {
            return None;
        }
        let directory = Directory::new("postgres");
        if rustix::process::getuid().is_root() {
            // The server refuses to run as root.
            run(Command::new("chown").arg("postgres").arg(&directory.0));
        }
        let data = directory.join("data");
        let options = ["--auth", "trust", "--username", "postgres", "--no-sync"];
        run(as_user(&program("initdb")).args(options).arg(&data));
        let mut server = as_user(&program("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(&directory.0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        await_socket(&directory.join(".s.PGSQL.5432"), &mut server);
        // It listens before it serves.
        let is_ready = || {
            let mut question = Command::new(program("pg_isready"));
            question.arg("-q").arg("-h").arg(&directory.0);
            question.status().is_ok_and(|status| status.success())
        };
        while !is_ready() {
            assert_eq!(server.try_wait().unwrap(), None, "the server has ended");
            thread::sleep(Duration::from_millis(20));
        }
        Some(Self { server, directory })
    }

    pub(crate) fn url(&self) -> String {
        let directory = self.directory.0.display();
        format!("postgres://postgres@localhost/postgres?host={directory}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: the server ends its connections and then itself.
        if let Some(pid) = rustix::process::Pid::from_raw(self.server.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// The directory of the newest installed server, on Debian.
fn programs_of_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?;
    let mut versions: Vec<_> = versions.flatten().map(|version| version.path()).collect();
    versions.sort();
    Some(versions.pop()?.join("bin"))
}

/// A command of the user of the server.
fn as_user(program: &str) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    // `setpriv` becomes the program, so that a signal reaches it.
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        program,
    ]);
    command
}

fn run(command: &mut Command) {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
}
