//! What records before an entry say of it: PAX lines, as POSIX has them, and GNU's long names.

use std::io;

use super::invalid;
use crate::apk::index::Checksum;

/// What records before an entry say of it.
#[derive(Default)]
pub(super) struct Records {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) checksum: Option<Checksum>,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

impl Records {
    /// Reads `length key=value\n` lines, as POSIX has them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let damaged = || invalid("a PAX record in it is damaged");
        let mut rest = bytes;
        while !rest.is_empty() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length: usize = str::from_utf8(&rest[..digits])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(damaged)?;
            let (line, after) = rest.split_at_checked(length).ok_or_else(damaged)?;
            let pair = line
                .get(digits..)
                .and_then(|line| line.strip_prefix(b" "))
                .and_then(|line| line.strip_suffix(b"\n"))
                .ok_or_else(damaged)?;
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (key, value) = pair.split_at(equals.ok_or_else(damaged)?);
            let key = str::from_utf8(key).map_err(|_| damaged())?;
            self.add(key, &value[1..])?;
            rest = after;
        }
        Ok(())
    }

    fn add(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let text = || {
            str::from_utf8(value)
                .map_err(|_| invalid(format!("the PAX record `{key}` is not UTF-8")))
        };
        let number = || {
            let parsed = text()?.parse();
            parsed.map_err(|_| invalid(format!("the PAX record `{key}` is not a number")))
        };
        match key {
            "path" => self.name = Some(value.to_vec()),
            "linkpath" => self.link = Some(value.to_vec()),
            "size" => self.size = Some(number()?),
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "uname" => self.user = Some(text()?.to_owned()),
            "gname" => self.group = Some(text()?.to_owned()),
            "APK-TOOLS.checksum.SHA1" => self.checksum = Some(from_hex(value)?),
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    self.xattrs.push((name.to_owned(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn from_hex(text: &[u8]) -> io::Result<Checksum> {
    let bad = || invalid("its checksum is not a SHA-1");
    let text = str::from_utf8(text).map_err(|_| bad())?.trim();
    let mut sum = [0; 20];
    if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    for (index, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| bad())?;
    }
    Ok(Checksum::Sha1(sum))
}
