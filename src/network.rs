//! Networks as people write them: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address, or all addresses with the same prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address.
    first: IpAddr,
    /// The length of the prefix.
    bits: u8,
}

/// Why a word is not a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// The part before the slash is not an IP address.
    Address(String),
    /// The part after the slash is not a number of bits.
    Bits(String),
    /// The prefix is longer than the address.
    TooManyBits {
        /// The length that was written.
        bits: u8,
        /// The length of the address.
        most: u8,
    },
    /// The address has bits after the prefix, so one of the two is a mistake.
    NotTheFirst {
        /// The network with that prefix.
        network: Network,
        /// The address as it was written.
        address: IpAddr,
    },
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(word) => write!(f, "`{word}` is not an IP address"),
            Self::Bits(word) => write!(f, "`/{word}` is not a number of bits, such as /24"),
            Self::TooManyBits { bits, most } => write!(f, "/{bits} is too long: the address has {most} bits"),
            Self::NotTheFirst { network, address } => {
                write!(
                    f,
                    "{address} is not the first address of a /{} network: write {network} or {address}",
                    network.bits
                )
            }
        }
    }
}

impl std::error::Error for InvalidNetwork {}

impl Network {
    /// Whether the network contains the address. An IPv4-mapped IPv6 address (`::ffff:10.0.0.7`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        first(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// The first address with this prefix. `None`: the address has fewer bits.
fn first(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let rest = u32::from(most(address).checked_sub(bits)?);
    Some(match address {
        // A shift by the whole width overflows; nothing remains then.
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(rest).unwrap_or(0)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)).into(),
    })
}

fn most(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(word: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) = word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
        let written: IpAddr = address.parse().map_err(|_| InvalidNetwork::Address(address.to_owned()))?;
        let most = most(written);
        let bits = match bits {
            None => most,
            // `parse` would accept a plus sign.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| InvalidNetwork::Bits(bits.to_owned()))?
            }
            Some(bits) => return Err(InvalidNetwork::Bits(bits.to_owned())),
        };
        let start = first(written, bits).ok_or(InvalidNetwork::TooManyBits { bits, most })?;
        if start != written {
            return Err(InvalidNetwork::NotTheFirst { network: Self { first: start, bits }, address: written });
        }
        // `::ffff:10.0.0.0/104` is 10.0.0.0/8. A prefix of fewer than 96 bits covers more than all of IPv4, and stays IPv6.
        match (written.to_canonical(), bits.checked_sub(96)) {
            (v4 @ IpAddr::V4(_), Some(bits)) if written.is_ipv6() => Ok(Self { first: v4, bits }),
            _ => Ok(Self { first: written, bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.bits < most(self.first) { write!(f, "/{}", self.bits) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_its_network_and_in_no_other() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("10.1.2.3", "10.1.2.3") && !contains("10.1.2.3", "10.1.2.2"));
        assert!(contains("10.1.2.2/31", "10.1.2.3") && !contains("10.1.2.2/31", "10.1.2.4"));
        assert!(contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("::1", "::1") && !contains("::1", "::2"));
    }

    #[test]
    fn nought_bits_are_all_addresses_of_one_kind() {
        assert!(contains("0.0.0.0/0", "255.1.2.3") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "10.0.0.1"));
    }

    #[test]
    fn ipv4_in_its_ipv6_form_is_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3") && !contains("10.0.0.0/8", "::ffff:11.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3") && !contains("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(contains("::ffff:10.1.2.3", "10.1.2.3"));
    }

    #[test]
    fn each_is_written_as_it_is_read() {
        for word in ["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "fd00::/8", "::1", "::/0"] {
            assert_eq!(word.parse::<Network>().unwrap().to_string(), word);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (word, says) in [
            ("", "`` is not an IP address"),
            ("proxy", "`proxy` is not an IP address"),
            ("10.0.0", "`10.0.0` is not an IP address"),
            ("10.0.0.256", "`10.0.0.256` is not an IP address"),
            ("/8", "`` is not an IP address"),
            ("10.0.0.0/", "`/` is not a number of bits, such as /24"),
            ("10.0.0.0/x", "`/x` is not a number of bits, such as /24"),
            ("10.0.0.0/+8", "`/+8` is not a number of bits, such as /24"),
            ("10.0.0.0/-1", "`/-1` is not a number of bits, such as /24"),
            ("10.0.0.0/8/8", "`/8/8` is not a number of bits, such as /24"),
            ("10.0.0.0/256", "`/256` is not a number of bits, such as /24"),
            ("10.0.0.0/255.0.0.0", "`/255.0.0.0` is not a number of bits, such as /24"),
            ("10.0.0.0/33", "/33 is too long: the address has 32 bits"),
            ("fd00::/129", "/129 is too long: the address has 128 bits"),
            ("10.1.2.3/8", "10.1.2.3 is not the first address of a /8 network: write 10.0.0.0/8 or 10.1.2.3"),
            ("fd00::1/64", "fd00::1 is not the first address of a /64 network: write fd00::/64 or fd00::1"),
        ] {
            assert_eq!(word.parse::<Network>().unwrap_err().to_string(), says, "{word}");
        }
    }
}
