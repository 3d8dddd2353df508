//! The beginning of every HTTP client of ours.

use std::net::IpAddr;

use reqwest::{Client, ClientBuilder, Url};

/// A client for a server at `url`. A proxy of the environment (`HTTP_PROXY`) is for servers elsewhere: what
/// is meant for this machine would leave it, and the proxy could not reach our own servers. `is_ours`: we run
/// that server ourselves, whatever its URL calls this machine.
pub fn client(url: &str, is_ours: bool) -> ClientBuilder {
    if is_ours || is_loopback(url) { Client::builder().no_proxy() } else { Client::builder() }
}

/// Whether a URL is one of this machine's, by what no name server can change.
pub fn is_loopback(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let Some(host) = url.as_ref().and_then(Url::host_str) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        // RFC 6761 §6.3.
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_addresses_and_its_name() {
        for (url, expected) in [
            ("http://127.0.0.1:8000/v1", true),
            ("http://127.1.2.3/", true),
            ("http://[::1]:8000/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://LOCALHOST:8000/", true),
            ("http://llm.localhost./", true),
            ("http://10.0.0.1:8000/", false),
            ("http://[2001:db8::1]/", false),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
