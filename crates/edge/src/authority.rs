//! Which host a request is meant for, and whether the connection was made for it.

use http::{StatusCode, Version, header::HOST, request::Parts, uri::Authority};

/// Compares the request's authority with the name of the handshake.
///
/// # Errors
///
/// 400 when an HTTP/1.1 request names no host, when a host is malformed, or when the request names two different ones
/// (RFC 9112, 3.2; RFC 9113, 8.3.1); 421 when the host is not the one of the handshake (RFC 9110, 15.5.20). Without a name
/// in the handshake (plain HTTP, or a client that sent none) any single host passes.
pub(crate) fn check(parts: &Parts, server_name: Option<&str>) -> Result<(), StatusCode> {
    let mut named: Option<Authority> = parts.uri.authority().cloned();
    for value in parts.headers.get_all(HOST) {
        let host: Authority = value.as_bytes().try_into().map_err(|_| StatusCode::BAD_REQUEST)?;
        if named.as_ref().is_some_and(|first| !first.as_str().eq_ignore_ascii_case(host.as_str())) {
            return Err(StatusCode::BAD_REQUEST);
        }
        named = Some(host);
    }
    // Two equal Host lines are refused as well: a proxy in front may have taken either.
    if parts.headers.get_all(HOST).iter().count() > 1 {
        return Err(StatusCode::BAD_REQUEST);
    }
    let Some(named) = named else {
        let optional = parts.version == Version::HTTP_10 && server_name.is_none();
        return if optional { Ok(()) } else { Err(StatusCode::BAD_REQUEST) };
    };
    if named.as_str().contains('@') {
        return Err(StatusCode::BAD_REQUEST);
    }
    match server_name {
        Some(name) if !bare(name).eq_ignore_ascii_case(bare(named.host())) => Err(StatusCode::MISDIRECTED_REQUEST),
        _ => Ok(()),
    }
}

/// A name without the final dot of the root, which says the same.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(version: Version, uri: &str, hosts: &[&str], name: Option<&str>) -> Result<(), u16> {
        let mut request = http::Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        check(&request.body(()).unwrap().into_parts().0, name).map_err(|status| status.as_u16())
    }

    #[test]
    fn the_host_is_the_name_of_the_handshake() {
        let h1 = |hosts: &[&str]| outcome(Version::HTTP_11, "/", hosts, Some("portal.example"));
        assert_eq!(h1(&["portal.example"]), Ok(()));
        assert_eq!(h1(&["PORTAL.example.:8443"]), Ok(()));
        assert_eq!(h1(&["activate.portal.example"]), Err(421));
        assert_eq!(h1(&["[::1]:8443"]), Err(421));
        assert_eq!(h1(&[]), Err(400));
        assert_eq!(h1(&["portal.example", "portal.example"]), Err(400));
        assert_eq!(h1(&["me@portal.example"]), Err(400));
        assert_eq!(h1(&["portal.example/a"]), Err(400));
        assert_eq!(h1(&[""]), Err(400));
    }

    #[test]
    fn authority_and_host_agree() {
        let h2 = |uri, hosts: &[&str]| outcome(Version::HTTP_2, uri, hosts, Some("portal.example"));
        assert_eq!(h2("https://portal.example/", &[]), Ok(()));
        assert_eq!(h2("https://portal.example/", &["portal.example"]), Ok(()));
        assert_eq!(h2("https://portal.example/", &["other.example"]), Err(400));
        assert_eq!(h2("https://other.example/", &[]), Err(421));
    }

    #[test]
    fn without_a_name_one_host_is_enough() {
        assert_eq!(outcome(Version::HTTP_11, "/", &["any.example"], None), Ok(()));
        assert_eq!(outcome(Version::HTTP_11, "/", &[], None), Err(400));
        assert_eq!(outcome(Version::HTTP_10, "/", &[], None), Ok(()));
        assert_eq!(outcome(Version::HTTP_10, "/", &[], Some("portal.example")), Err(400));
    }
}
