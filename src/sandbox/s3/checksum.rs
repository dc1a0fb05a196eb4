//! Checksums of objects: five algorithms, over the whole object or over its parts' checksums.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use super::call::fault;
use crate::sandbox::error::ServiceError;

/// A checksum algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// `CRC32`.
    Crc32,
    /// `CRC32C`.
    Crc32c,
    /// `CRC64NVME`.
    Crc64Nvme,
    /// `SHA1`.
    Sha1,
    /// `SHA256`.
    Sha256,
}

/// What a checksum is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The whole object.
    FullObject,
    /// The checksums of its parts.
    Composite,
}

impl Kind {
    /// As S3 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::FullObject => "FULL_OBJECT",
            Kind::Composite => "COMPOSITE",
        }
    }
}

/// An object's checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it is over.
    pub kind: Kind,
    /// Base64, with `-parts` behind for a composite one.
    pub value: String,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    /// As S3 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// The header that carries it.
    pub fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Bytes of a checksum.
    fn length(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme => 8,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }

    /// The algorithm of a name.
    ///
    /// # Errors
    /// `InvalidRequest`: there is none.
    pub fn named(name: &str) -> Result<Algorithm, ServiceError> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                fault(
                    "InvalidRequest",
                    "Checksum algorithm provided is unsupported. Please try again with any of the \
                     valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
                )
            })
    }

    /// What a multipart upload's checksum is over, if that is not said; CRC64NVME is always over
    /// the whole object, SHA never.
    ///
    /// # Errors
    /// `InvalidRequest`: the algorithm does not have that kind.
    pub fn kind(self, asked: Option<&str>) -> Result<Kind, ServiceError> {
        let wrong = |kind: &str| {
            fault(
                "InvalidRequest",
                format!(
                    "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                    self.name().to_ascii_lowercase()
                ),
            )
        };
        match (asked, self) {
            (Some("COMPOSITE"), Algorithm::Crc64Nvme) => Err(wrong("COMPOSITE")),
            (Some("FULL_OBJECT"), Algorithm::Sha1 | Algorithm::Sha256) => Err(wrong("FULL_OBJECT")),
            (Some("FULL_OBJECT"), _) | (None, Algorithm::Crc64Nvme) => Ok(Kind::FullObject),
            (Some("COMPOSITE") | None, _) => Ok(Kind::Composite),
            (Some(_), _) => Err(fault(
                "InvalidRequest",
                "Value for x-amz-checksum-type header is invalid.",
            )),
        }
    }

    fn hasher(self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        match self {
            Algorithm::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Algorithm::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Algorithm::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Algorithm::Sha1 => hasher.sha1 = Some(Sha1::new()),
            Algorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
        hasher
    }
}

/// Where a writer's checksum is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// There is none.
    None,
    /// It was in a header.
    Value(Algorithm, String),
    /// It comes after the data.
    Trailer(Algorithm),
}

impl Promise {
    /// What the headers of a request say.
    ///
    /// # Errors
    /// Two checksums, one that is no checksum, or a name of an algorithm without a checksum.
    pub fn of(headers: &HeaderMap) -> Result<Promise, ServiceError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut found: Vec<Promise> = Vec::new();
        for algorithm in Algorithm::ALL {
            if let Some(value) = text(algorithm.header()) {
                check_form(algorithm, value)?;
                found.push(Promise::Value(algorithm, value.to_owned()));
            }
            let is_trailer = text("x-amz-trailer")
                .is_some_and(|trailer| trailer.eq_ignore_ascii_case(algorithm.header()));
            if is_trailer {
                found.push(Promise::Trailer(algorithm));
            }
        }
        if found.len() > 1 {
            return Err(fault(
                "InvalidRequest",
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        let promise = found.pop().unwrap_or(Promise::None);
        if let Some(name) = text("x-amz-sdk-checksum-algorithm") {
            let named = Algorithm::named(name).map_err(|_| {
                fault(
                    "InvalidRequest",
                    "Value for x-amz-sdk-checksum-algorithm header is invalid.",
                )
            })?;
            match promise.algorithm() {
                None => {
                    return Err(fault(
                        "InvalidRequest",
                        "x-amz-sdk-checksum-algorithm specified, but no corresponding \
                         x-amz-checksum-* or x-amz-trailer headers were found.",
                    ));
                }
                Some(given) if given != named => {
                    return Err(fault(
                        "InvalidRequest",
                        "Value for x-amz-sdk-checksum-algorithm header is invalid.",
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(promise)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Promise::None => None,
            Promise::Value(algorithm, _) | Promise::Trailer(algorithm) => Some(*algorithm),
        }
    }

    /// Whether the data's checksum is what was promised; `trailer` are the headers that came
    /// after the data.
    ///
    /// # Errors
    /// `BadDigest`: it is another. `MalformedTrailerError`: none came.
    pub fn check(&self, sum: &str, trailer: Option<&HeaderMap>) -> Result<(), ServiceError> {
        let (algorithm, value) = match self {
            Promise::None => return Ok(()),
            Promise::Value(algorithm, value) => (algorithm, value.clone()),
            Promise::Trailer(algorithm) => {
                let value = trailer
                    .and_then(|headers| headers.get(algorithm.header()))
                    .and_then(|value| value.to_str().ok())
                    .ok_or_else(|| {
                        fault(
                            "MalformedTrailerError",
                            "The request contained trailing data that was not well-formed or did \
                             not conform to our published schema.",
                        )
                    })?;
                check_form(*algorithm, value)?;
                (algorithm, value.to_owned())
            }
        };
        if value == sum {
            return Ok(());
        }
        Err(fault(
            "BadDigest",
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ),
        ))
    }
}

fn check_form(algorithm: Algorithm, value: &str) -> Result<(), ServiceError> {
    match BASE64.decode(value) {
        Ok(bytes) if bytes.len() == algorithm.length() => Ok(()),
        _ => Err(fault(
            "InvalidRequest",
            format!("Value for {} header is invalid.", algorithm.header()),
        )),
    }
}

/// The `Content-MD5` of a request.
///
/// # Errors
/// `InvalidDigest`: it is no MD5.
pub fn content_md5(headers: &HeaderMap) -> Result<Option<Vec<u8>>, ServiceError> {
    let Some(value) = headers.get("content-md5") else {
        return Ok(None);
    };
    match BASE64.decode(value.as_bytes()) {
        Ok(bytes) if bytes.len() == 16 => Ok(Some(bytes)),
        _ => Err(fault(
            "InvalidDigest",
            "The Content-MD5 you specified was invalid.",
        )),
    }
}

/// The error for data that is not what `Content-MD5` says.
pub fn bad_md5() -> ServiceError {
    fault(
        "BadDigest",
        "The Content-MD5 you specified did not match what we received.",
    )
}

/// MD5 and one checksum of data that passes by.
pub struct Sums {
    md5: Md5,
    algorithm: Algorithm,
    hasher: ChecksumHasher,
}

impl Sums {
    /// Nothing has passed yet.
    pub fn new(algorithm: Algorithm) -> Sums {
        Sums {
            md5: Md5::new(),
            algorithm,
            hasher: algorithm.hasher(),
        }
    }

    /// Some data.
    pub fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.hasher.update(data);
    }

    /// MD5, and the checksum in Base64.
    pub fn finish(self) -> ([u8; 16], String) {
        let sums = self.hasher.finalize();
        let value = match self.algorithm {
            Algorithm::Crc32 => sums.checksum_crc32,
            Algorithm::Crc32c => sums.checksum_crc32c,
            Algorithm::Crc64Nvme => sums.checksum_crc64nvme,
            Algorithm::Sha1 => sums.checksum_sha1,
            Algorithm::Sha256 => sums.checksum_sha256,
        };
        (
            self.md5.finalize(),
            value.expect("the hasher has the algorithm"),
        )
    }
}

/// The checksum of data in memory, in Base64.
pub fn of_bytes(algorithm: Algorithm, data: &[u8]) -> String {
    let mut sums = Sums::new(algorithm);
    sums.update(data);
    sums.finish().1
}

/// MD5 of data in memory.
pub fn md5_of(data: &[u8]) -> [u8; 16] {
    Md5::checksum(data)
}

/// The checksum of checksums, with the number of parts behind.
pub fn composite(algorithm: Algorithm, parts: &[String]) -> String {
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| BASE64.decode(part).unwrap_or_default())
        .collect();
    format!("{}-{}", of_bytes(algorithm, &bytes), parts.len())
}

/// Puts a checksum into the field of its algorithm.
macro_rules! set_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::sandbox::s3::checksum::Algorithm::Crc32 => {
                $output.checksum_crc32 = Some($value);
            }
            $crate::sandbox::s3::checksum::Algorithm::Crc32c => {
                $output.checksum_crc32c = Some($value);
            }
            $crate::sandbox::s3::checksum::Algorithm::Crc64Nvme => {
                $output.checksum_crc64nvme = Some($value);
            }
            $crate::sandbox::s3::checksum::Algorithm::Sha1 => {
                $output.checksum_sha1 = Some($value);
            }
            $crate::sandbox::s3::checksum::Algorithm::Sha256 => {
                $output.checksum_sha256 = Some($value);
            }
        }
    };
}
pub(super) use set_checksum;
