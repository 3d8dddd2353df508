//! `[trunk.NAME]`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::dialplan::{Identity, Trunk};
use crate::files::Table;
use crate::sip::{Subnet, Transport, Uri};

/// Without any answer for that long, the next peer is tried: timer B is longer than any caller's patience.
const TRY_TIME: Duration = Duration::from_secs(4);
/// How long a REFER's last NOTIFY may take: a phone rings that long.
const REFER_TIME: Duration = Duration::from_secs(30);
/// The port of a peer that names none (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// Reads a trunk.
pub fn read(name: &str, mut table: Table<'_>) -> Option<Trunk> {
    let stands_alone = !table.has("peers") && !table.has("networks");
    if stands_alone {
        let why = "needs `peers` or `networks`: nobody could come by it";
        table.error("", why, &table.place);
    }
    let peers = table.list("peers", peer).unwrap_or_default();
    let transport = table.parsed("transport", |text| match text {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        _ => Err(format!("must be udp or tcp, is `{text}`")),
    });
    let networks = table.list("networks", subnet).unwrap_or_default();
    let try_time = table.secs("try_secs", 1..=32);
    let identity = table.parsed("identity", |text| match text {
        "P-Asserted-Identity" => Ok(Identity::PAssertedIdentity),
        "From" => Ok(Identity::From),
        _ => Err(format!("must be P-Asserted-Identity or From, is `{text}`")),
    });

    let mut trunk = Trunk {
        name: name.to_owned(),
        peers: peers.into_iter().map(|peer| peer.value).collect(),
        transport: transport.map_or(Transport::Udp, |transport| transport.value),
        networks: networks.into_iter().map(|network| network.value).collect(),
        try_time: try_time.unwrap_or(TRY_TIME),
        refer_supported: true,
        refer_to: None,
        refer_time: REFER_TIME,
        identity: identity.map_or(Identity::PAssertedIdentity, |identity| identity.value),
    };
    if let Some(mut refer) = table.table("refer") {
        trunk.refer_supported = refer.flag("supported").is_none_or(|flag| flag.value);
        trunk.refer_to = refer.parsed("to", template).map(|template| template.value);
        trunk.refer_time = refer.secs("wait_final_secs", 1..=300).unwrap_or(REFER_TIME);
        refer.finish();
    }
    table.finish();
    (!stands_alone).then_some(trunk)
}

fn peer(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().ok();
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, SIP_PORT));
    address.or_else(alone).ok_or_else(|| {
        format!("`{text}` must be an address such as 10.0.0.10:5060 or [2001:db8::1]:5060")
    })
}

/// Reads `10.0.0.0/24`, or one address.
fn subnet(text: &str) -> Result<Subnet, String> {
    let bad = || format!("`{text}` must be a network such as 10.0.0.0/24 or 2001:db8::/32");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(width);
    if prefix > width {
        return Err(format!("`{text}` has more than {width} bits"));
    }
    Ok(Subnet { address, prefix })
}

/// A Refer-To with `{number}` in it.
fn template(text: &str) -> Result<String, String> {
    if !text.contains("{number}") {
        return Err(format!(
            "`{text}` has no {{number}} in it: every transfer would go to one place"
        ));
    }
    match text.replace("{number}", "100").parse() {
        Ok(Uri::Sip(_) | Uri::Tel(_)) => Ok(text.to_owned()),
        Ok(Uri::Other(_)) => Err(format!("`{text}` must be a sip: or a tel: URI")),
        Err(error) => Err(format!("`{text}` is no URI: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_an_address_with_or_without_its_bits() {
        for (text, read) in [
            ("10.0.0.0/24", Some(("10.0.0.0", 24))),
            ("127.0.0.1", Some(("127.0.0.1", 32))),
            ("::1", Some(("::1", 128))),
            ("2001:db8::/32", Some(("2001:db8::", 32))),
            ("10.0.0.0/33", None),
            ("10.0.0/8", None),
            ("pbx/24", None),
            ("10.0.0.0/", None),
        ] {
            let expected = read.map(|(address, prefix)| Subnet {
                address: address.parse().expect("an address"),
                prefix,
            });
            assert_eq!(subnet(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn peer_has_the_port_of_sip_where_it_names_none() {
        assert_eq!(peer("10.0.0.10").map(|peer| peer.port()), Ok(5060));
        assert_eq!(peer("[::1]:5080").map(|peer| peer.port()), Ok(5080));
        assert!(peer("pbx.example.com:5060").is_err());
    }

    #[test]
    fn refer_template_has_a_place_for_the_number() {
        assert!(template("sip:{number}@pbx.example.com").is_ok());
        assert!(template("tel:{number}").is_ok());
        for bad in ["sip:100@pbx.example.com", "{number}", "http://{number}", "sip:{number}@"] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }
}
