//! Whom a guest tried to reach, by what it sent over its network card.
//!
//! QEMU writes every frame to a file in the format of libpcap
//! (<https://www.tcpdump.org/manpages/pcap-savefile.5.html>). Nothing but the metadata service answers the
//! guest, so that an attempt shows in what it asked for: an address on its own network, which nobody
//! has, by ARP; anything else by the first packet of a connection, which its router drops.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::path::Path;

/// What EC2 has on every host, so that no network is needed for it: metadata, and Amazon's time service.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configure-ec2-ntp.html>
const OF_THE_HOST: [Ipv4Addr; 2] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 169, 123),
];

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Of a file that was written on a machine of the same byte order, with microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Whom the guest with this network card and address tried to reach besides the host's own services, each
/// once: `tcp 192.0.2.1:443`, `arp 192.0.2.1`.
///
/// # Errors
/// The file cannot be read, or is none of QEMU's.
pub fn attempts(capture: &Path, mac: &str, gateway: Ipv4Addr) -> io::Result<Vec<String>> {
    let bytes = std::fs::read(capture)?;
    let garbled = || io::Error::new(io::ErrorKind::InvalidData, "it is no capture of QEMU's");
    if bytes.len() < FILE_HEADER || word(&bytes, 0) != Some(MAGIC) {
        return Err(garbled());
    }
    let mac = mac_bytes(mac).ok_or_else(garbled)?;
    let mut found = BTreeSet::new();
    let mut rest = &bytes[FILE_HEADER..];
    // QEMU is killed at the end, so that the last record may be cut off.
    while let Some(length) = word(rest, 8) {
        let end = RECORD_HEADER + length as usize;
        let Some(frame) = rest.get(RECORD_HEADER..end) else {
            break;
        };
        if frame.get(6..12) == Some(&mac[..]) {
            found.extend(sought(frame, gateway));
        }
        rest = &rest[end..];
    }
    Ok(found.into_iter().collect())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn mac_bytes(text: &str) -> Option<Vec<u8>> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
    bytes.collect::<Result<Vec<u8>, _>>().ok()
}

/// Whom a frame of the guest's is for, if it begins something.
fn sought(frame: &[u8], gateway: Ipv4Addr) -> Option<String> {
    let payload = frame.get(14..)?;
    match short(frame, 12)? {
        ARP => arp(payload, gateway),
        IPV4 => ipv4(payload),
        IPV6 => ipv6(payload),
        _ => None,
    }
}

/// A question for an address. Who asks for the gateway has a packet for somebody else, which shows by
/// itself; who asks for its own address only sees whether it is taken.
fn arp(packet: &[u8], gateway: Ipv4Addr) -> Option<String> {
    let is_question = short(packet, 6)? == 1;
    let sender = address(packet, 14)?;
    let wanted = address(packet, 24)?;
    let is_told = OF_THE_HOST.contains(&wanted) || wanted == gateway;
    let is_own = sender == wanted || sender.is_unspecified();
    (is_question && !is_told && !is_own).then(|| format!("arp {wanted}"))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(bytes.into())
}

fn ipv4(packet: &[u8]) -> Option<String> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let to = address(packet, 16)?;
    let (protocol, payload) = (*packet.get(9)?, packet.get(header..)?);
    let is_everybody = to.is_broadcast() || to.is_multicast();
    if OF_THE_HOST.contains(&to) || is_everybody {
        return None;
    }
    let port = || short(payload, 2);
    match protocol {
        TCP if begins(payload)? => Some(format!("tcp {}", SocketAddrV4::new(to, port()?))),
        // Leases are asked for again at the server.
        UDP if port()? == 67 => None,
        UDP => Some(format!("udp {}", SocketAddrV4::new(to, port()?))),
        // An echo is asked for; what else there is answers something.
        ICMP if *payload.first()? == 8 => Some(format!("icmp {to}")),
        _ => None,
    }
}

/// SYN, and no ACK.
fn begins(segment: &[u8]) -> Option<bool> {
    Some(segment.get(13)? & 0b1_0010 == 0b10)
}

fn ipv6(packet: &[u8]) -> Option<String> {
    let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
    let to = Ipv6Addr::from(to);
    let payload = packet.get(40..)?;
    if to.is_multicast() {
        return None;
    }
    let port = || short(payload, 2);
    match *packet.get(6)? {
        TCP if begins(payload)? => Some(format!("tcp [{to}]:{}", port()?)),
        UDP => Some(format!("udp [{to}]:{}", port()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [u8; 6] = [2, 0, 0, 0xa9, 0xfe, 0x0f];
    const OWN: [u8; 4] = [169, 254, 169, 15];
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 2);

    fn frame(from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
        [&[0xff; 6][..], &from, &kind.to_be_bytes(), payload].concat()
    }

    fn question(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let head = [0, 1, 8, 0, 6, 4, 0, 1];
        let packet = [&head[..], &GUEST, &from, &[0; 6], &to].concat();
        frame(GUEST, ARP, &packet)
    }

    fn packet(to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut head = [0; 20];
        head[0] = 0x45;
        head[9] = protocol;
        head[12..16].copy_from_slice(&OWN);
        head[16..20].copy_from_slice(&to);
        frame(GUEST, IPV4, &[&head[..], payload].concat())
    }

    fn segment(port: u16, flags: u8) -> Vec<u8> {
        let mut segment = vec![0; 20];
        segment[2..4].copy_from_slice(&port.to_be_bytes());
        segment[13] = flags;
        segment
    }

    fn found(frames: &[Vec<u8>]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("net");
        let mut bytes = vec![0; FILE_HEADER];
        bytes[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        for frame in frames {
            let length = u32::try_from(frame.len()).expect("short").to_ne_bytes();
            bytes.extend([&[0; 8][..], &length, &length, frame].concat());
        }
        // The last one is cut off.
        bytes.extend([&[0; 8][..], &100u32.to_ne_bytes(), &[1, 2, 3]].concat());
        std::fs::write(&file, bytes).expect("written");
        attempts(&file, "02:00:00:a9:fe:0f", GATEWAY).expect("a capture")
    }

    #[test]
    fn what_begins_something_is_told_once() {
        let (far, near) = ([192, 0, 2, 1], [169, 254, 169, 77]);
        let (syn, ack) = (0b10, 0b1_0010);
        let frames = [
            question(OWN, near),
            packet(far, TCP, &segment(443, syn)),
            packet(far, TCP, &segment(443, syn)),
            packet(far, UDP, &segment(123, 0)),
            packet([169, 254, 169, 3], UDP, &segment(53, 0)),
            packet(far, ICMP, &[8, 0, 0, 0]),
            // None of these is an attempt.
            packet(far, TCP, &segment(80, ack)),
            packet([169, 254, 169, 254], TCP, &segment(80, syn)),
            packet([169, 254, 169, 123], UDP, &segment(123, 0)),
            packet([255; 4], UDP, &segment(67, 0)),
            packet([224, 0, 0, 22], 2, &[]),
            question(OWN, [169, 254, 169, 254]),
            question(OWN, GATEWAY.octets()),
            question([0; 4], OWN),
            frame([2; 6], ARP, &question(OWN, near)[14..]),
            frame(GUEST, 0x1234, &[]),
            frame(GUEST, IPV4, &[0x45]),
        ];
        let expected = [
            "arp 169.254.169.77",
            "icmp 192.0.2.1",
            "tcp 192.0.2.1:443",
            "udp 169.254.169.3:53",
            "udp 192.0.2.1:123",
        ];
        assert_eq!(found(&frames), expected);
        assert_eq!(found(&[]), [""; 0]);
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("net");
        std::fs::write(&file, "no capture, but long enough").expect("written");
        let error = attempts(&file, "02:00:00:a9:fe:0f", GATEWAY).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
