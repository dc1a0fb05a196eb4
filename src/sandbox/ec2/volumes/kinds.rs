//! Types of volumes, their sizes and speeds, as the documentation of CreateVolume has them.

use std::ops::RangeInclusive;

use crate::sandbox::error::ServiceError;

/// A type of volumes.
struct Kind {
    name: &'static str,
    sizes_gib: RangeInclusive<u32>,
    /// Operations a second that may be asked for.
    iops: Option<Iops>,
}

/// Operations a second that may be asked for.
struct Iops {
    range: RangeInclusive<u32>,
    /// At most so many for each GiB; what comes without asking is always allowed.
    per_gib: u32,
    /// What comes without asking; none where it must be asked for.
    default: Option<u32>,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "gp2",
        sizes_gib: 1..=16_384,
        iops: None,
    },
    Kind {
        name: "gp3",
        sizes_gib: 1..=65_536,
        iops: Some(Iops {
            range: 3000..=80_000,
            per_gib: 500,
            default: Some(3000),
        }),
    },
    Kind {
        name: "io1",
        sizes_gib: 4..=16_384,
        iops: Some(Iops {
            range: 100..=64_000,
            per_gib: 50,
            default: None,
        }),
    },
    Kind {
        name: "io2",
        sizes_gib: 4..=65_536,
        iops: Some(Iops {
            range: 100..=256_000,
            per_gib: 1000,
            default: None,
        }),
    },
    Kind {
        name: "st1",
        sizes_gib: 125..=16_384,
        iops: None,
    },
    Kind {
        name: "sc1",
        sizes_gib: 125..=16_384,
        iops: None,
    },
    Kind {
        name: "standard",
        sizes_gib: 1..=1024,
        iops: None,
    },
];

/// What gp3 gives without asking, in MiB/s.
const THROUGHPUT: u32 = 125;

/// Throughputs that gp3 has.
const THROUGHPUTS: RangeInclusive<u32> = THROUGHPUT..=2000;

/// A volume's type and speed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speed {
    /// `gp3`, …
    pub volume_type: &'static str,
    /// Operations a second.
    pub iops: Option<u32>,
    /// MiB a second.
    pub throughput: Option<u32>,
}

/// Checks what is asked for, and completes it with what comes without asking.
///
/// # Errors
/// A type that there is not, or a size or speed that the type does not have.
pub fn check(
    volume_type: &str,
    size_gib: u32,
    iops: Option<u32>,
    throughput: Option<u32>,
) -> Result<Speed, ServiceError> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == volume_type) else {
        return Err(ServiceError::new(
            "UnknownVolumeType",
            format!("Unsupported volume type '{volume_type}' for volume creation."),
        ));
    };
    let (least, most) = (*kind.sizes_gib.start(), *kind.sizes_gib.end());
    if size_gib < least {
        return Err(invalid(format!(
            "Volume of {size_gib}GiB is too small for volume type {volume_type}; minimum is {least}GiB."
        )));
    }
    if size_gib > most {
        return Err(invalid(format!(
            "Volume of {size_gib}GiB is too large for volume type {volume_type}; maximum is {most}GiB."
        )));
    }
    let iops = match (&kind.iops, iops) {
        (None, Some(_)) => return Err(not_supported("iops", volume_type)),
        (None, None) => baseline(volume_type, size_gib),
        (Some(rules), Some(iops)) => {
            check_iops(rules, size_gib, iops)?;
            Some(iops)
        }
        (Some(rules), None) => match rules.default {
            Some(default) => Some(default),
            None => return Err(ServiceError::missing_parameter("iops")),
        },
    };
    let throughput = match throughput {
        Some(_) if volume_type != "gp3" => return Err(not_supported("throughput", volume_type)),
        Some(throughput) => {
            check_throughput(throughput, iops.unwrap_or_default())?;
            Some(throughput)
        }
        None => (volume_type == "gp3").then_some(THROUGHPUT),
    };
    Ok(Speed {
        volume_type: kind.name,
        iops,
        throughput,
    })
}

/// gp2's grows with the size; the others have no number.
fn baseline(volume_type: &str, size_gib: u32) -> Option<u32> {
    (volume_type == "gp2").then(|| size_gib.saturating_mul(3).clamp(100, 16_000))
}

fn check_iops(rules: &Iops, size_gib: u32, iops: u32) -> Result<(), ServiceError> {
    let (least, most) = (*rules.range.start(), *rules.range.end());
    if iops < least {
        return Err(invalid(format!(
            "Volume iops of {iops} is too low; minimum is {least}."
        )));
    }
    if iops > most {
        return Err(invalid(format!(
            "Volume iops of {iops} is too high; maximum is {most}."
        )));
    }
    if iops > size_gib.saturating_mul(rules.per_gib) && Some(iops) != rules.default {
        return Err(invalid(format!(
            "Iops to volume size ratio of {:.6} is too high; maximum is {}.000000",
            f64::from(iops) / f64::from(size_gib),
            rules.per_gib
        )));
    }
    Ok(())
}

fn check_throughput(throughput: u32, iops: u32) -> Result<(), ServiceError> {
    let (least, most) = (*THROUGHPUTS.start(), *THROUGHPUTS.end());
    if !THROUGHPUTS.contains(&throughput) {
        return Err(invalid(format!(
            "Throughput of {throughput} MiB/s is out of range; it must be {least} to {most}."
        )));
    }
    // A quarter of a MiB/s for each operation a second.
    if throughput > iops / 4 {
        return Err(invalid(format!(
            "Throughput (MiBps) to iops ratio of {:.6} is too high; maximum is 0.250000",
            f64::from(throughput) / f64::from(iops)
        )));
    }
    Ok(())
}

fn invalid(why: String) -> ServiceError {
    ServiceError::new("InvalidParameterValue", why)
}

fn not_supported(parameter: &str, volume_type: &str) -> ServiceError {
    ServiceError::invalid_combination(format!(
        "The parameter {parameter} is not supported for {volume_type} volumes."
    ))
}
