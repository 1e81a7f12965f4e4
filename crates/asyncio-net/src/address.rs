//! Types that can be given as an address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::dns::getaddrinfo;

/// One or more addresses to connect to or to listen on. They are tried in order.
///
/// - a [`SocketAddr`], or an IP address and a port: `(Ipv4Addr::LOCALHOST, 80)`;
/// - several: `&[SocketAddr]`, `Vec<SocketAddr>`;
/// - a string with an address and a port, `"127.0.0.1:80"`, `"[::1]:80"`, or the two as a pair,
///   `("::1", 80)`;
/// - the same with the name of a host: `"example.org:443"`. [`getaddrinfo`] resolves it, on a
///   thread. `localhost` needs no thread: it is `127.0.0.1` and then `::1`.
pub trait ToSocketAddrs: sealed::Sealed {}

pub(crate) mod sealed {
    use super::Target;
    use std::io;

    pub trait Sealed {
        fn target(&self) -> io::Result<Target>;
    }
}

/// The meaning of an argument, before any name is resolved.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    Addresses(Vec<SocketAddr>),
    Name { host: String, port: u16 },
}

/// Returns the addresses of `to`, at least one.
pub(crate) async fn resolve(to: &impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    match to.target()? {
        Target::Addresses(addresses) if addresses.is_empty() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the list of addresses is empty",
        )),
        Target::Addresses(addresses) => Ok(addresses),
        Target::Name { host, port } if host.eq_ignore_ascii_case("localhost") => Ok(vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ]),
        Target::Name { host, port } => getaddrinfo(&host, port).await,
    }
}

/// Calls `f` for the addresses of `to`, in order, up to the first that succeeds. If none does, returns the last error.
pub(crate) async fn first_of<T>(
    to: &impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut outcome = Err(io::ErrorKind::InvalidInput.into());
    for address in resolve(to).await? {
        outcome = f(address);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn of_host(host: &str, port: u16) -> Target {
    match host.parse::<IpAddr>() {
        Ok(ip) => Target::Addresses(vec![(ip, port).into()]),
        Err(_) => Target::Name {
            host: host.to_owned(),
            port,
        },
    }
}

macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {}
        impl sealed::Sealed for $type {
            fn target(&self) -> io::Result<Target> {
                Ok(Target::Addresses(vec![(*self).into()]))
            }
        }
    )*};
}

one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for [SocketAddr] {}
impl sealed::Sealed for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Addresses(self.to_vec()))
    }
}

impl<const N: usize> ToSocketAddrs for [SocketAddr; N] {}
impl<const N: usize> sealed::Sealed for [SocketAddr; N] {
    fn target(&self) -> io::Result<Target> {
        self.as_slice().target()
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {}
impl sealed::Sealed for Vec<SocketAddr> {
    fn target(&self) -> io::Result<Target> {
        self.as_slice().target()
    }
}

impl ToSocketAddrs for str {}
impl sealed::Sealed for str {
    fn target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(Target::Addresses(vec![address]));
        }
        let invalid = || {
            let message =
                format!("{self:?} is not an address with a port; write for example 127.0.0.1:80");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        let (host, port) = self.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        // An IPv6 address with a zone is resolved as a name.
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Some(host) = bracketed.filter(|host| host.contains('%')) {
            return Ok(of_host(host, port));
        }
        // A colon or a bracket in the host means a malformed IPv6 address.
        if host.is_empty() || host.contains([':', '[', ']']) {
            return Err(invalid());
        }
        Ok(of_host(host, port))
    }
}

impl ToSocketAddrs for String {}
impl sealed::Sealed for String {
    fn target(&self) -> io::Result<Target> {
        self.as_str().target()
    }
}

impl ToSocketAddrs for (&str, u16) {}
impl sealed::Sealed for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        Ok(of_host(self.0, self.1))
    }
}

impl ToSocketAddrs for (String, u16) {}
impl sealed::Sealed for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        Ok(of_host(&self.0, self.1))
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}
impl<T: ToSocketAddrs + ?Sized> sealed::Sealed for &T {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn resolved(to: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
        let resolving = pin!(resolve(&to));
        match resolving.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("resolving must not wait"),
        }
    }

    #[test]
    fn an_address_comes_in_many_forms() {
        let want: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let ip = Ipv4Addr::LOCALHOST;
        assert_eq!(resolved(want).unwrap(), [want]);
        assert_eq!(resolved((ip, 80)).unwrap(), [want]);
        assert_eq!(resolved((IpAddr::from(ip), 80)).unwrap(), [want]);
        assert_eq!(resolved("127.0.0.1:80").unwrap(), [want]);
        assert_eq!(resolved("127.0.0.1:80".to_owned()).unwrap(), [want]);
        assert_eq!(resolved(("127.0.0.1", 80)).unwrap(), [want]);
        assert_eq!(resolved(("127.0.0.1".to_owned(), 80)).unwrap(), [want]);
        assert_eq!(resolved([want, want]).unwrap(), [want, want]);
        assert_eq!(resolved([want].as_slice()).unwrap(), [want]);
        assert_eq!(resolved(vec![want]).unwrap(), [want]);
        let want: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!(resolved("[::1]:80").unwrap(), [want]);
        assert_eq!(resolved(("::1", 80)).unwrap(), [want]);
        assert_eq!(resolved((Ipv6Addr::LOCALHOST, 80)).unwrap(), [want]);
    }

    #[test]
    fn localhost_needs_no_resolver() {
        let both: [SocketAddr; 2] = ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()];
        assert_eq!(resolved("localhost:7").unwrap(), both);
        assert_eq!(resolved(("LocalHost", 7)).unwrap(), both);
    }

    #[test]
    fn an_unusable_address_is_an_error() {
        let kind = |to: &str| resolved(to).unwrap_err().kind();
        for wrong in [
            "",
            "localhost",
            "127.0.0.1",
            ":80",
            "::1:80",
            "[::1",
            "a:b",
            "a:99999",
        ] {
            assert_eq!(kind(wrong), io::ErrorKind::InvalidInput, "{wrong}");
        }
        let none: [SocketAddr; 0] = [];
        assert_eq!(
            resolved(none).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
