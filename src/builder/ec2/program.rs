//! The worker's file: this program, linked statically, for the architecture of the instance.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::arch::Arch;
use crate::digest;

/// A file that can be a worker has its headers in so many first bytes.
const HEAD: u64 = 64 << 10;

/// A worker's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length, in bytes.
    pub size: u64,
}

/// A file that cannot be a worker.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// None is named.
    #[error("no worker for {arch} is named, and this program is for {own}", own = std::env::consts::ARCH)]
    None {
        /// What it should be for.
        arch: Arch,
    },
    /// It cannot be read.
    #[error("cannot read the worker {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no program.
    #[error("the worker {0} is no program for 64-bit Linux")]
    NoProgram(PathBuf),
    /// It is for another architecture.
    #[error("the worker {path} is not for {arch}")]
    Arch {
        /// The file.
        path: PathBuf,
        /// What it should be for.
        arch: Arch,
    },
    /// It needs libraries, which an instance may not have.
    #[error("the worker {0} is linked dynamically: build instances may not have its libraries")]
    Dynamic(PathBuf, Arch),
}

impl ProgramError {
    /// What to do next.
    pub fn advice(&self) -> String {
        let build = |arch: Arch| {
            format!(
                "build one on a machine of {arch}, with `RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target {arch}-unknown-linux-gnu`, and name it in alpine-ami.toml under [build.workers]: {arch} = \"target/{arch}-unknown-linux-gnu/release/alpine-ami\""
            )
        };
        match self {
            ProgramError::None { arch }
            | ProgramError::Arch { arch, .. }
            | ProgramError::Dynamic(_, arch) => build(*arch),
            ProgramError::Read { .. } | ProgramError::NoProgram(_) => {
                "correct the path under [build.workers]; relative ones begin at the configuration's folder".to_owned()
            }
        }
    }
}

impl Program {
    /// The worker for an architecture: the one that is named, or this program itself.
    ///
    /// # Errors
    /// There is none, or it could not run on any Linux.
    pub fn find(named: Option<&Path>, own: &Path, arch: Arch) -> Result<Program, ProgramError> {
        let path = match named {
            Some(path) => path,
            None if Arch::host() == Some(arch) => own,
            None => return Err(ProgramError::None { arch }),
        };
        let read = |source| ProgramError::Read {
            path: path.to_owned(),
            source,
        };
        let mut head = Vec::new();
        let file = File::open(path).map_err(read)?;
        (&file).take(HEAD).read_to_end(&mut head).map_err(read)?;
        match kind(&head) {
            None => return Err(ProgramError::NoProgram(path.to_owned())),
            Some((machine, _)) if machine != machine_of(arch) => {
                let path = path.to_owned();
                return Err(ProgramError::Arch { path, arch });
            }
            Some((_, true)) => return Err(ProgramError::Dynamic(path.to_owned(), arch)),
            Some((_, false)) => {}
        }
        let file = File::open(path).map_err(read)?;
        Ok(Program {
            path: path.to_owned(),
            sha256: digest::sha256_of_file(&file).map_err(read)?,
            size: file.metadata().map_err(read)?.len(),
        })
    }
}

/// The machine that a program is for, and whether it asks for an interpreter, which loads its
/// libraries. A static program that can be placed anywhere has none, though it has the type of a
/// library.
fn kind(head: &[u8]) -> Option<(elf::Machine, bool)> {
    let header = elf::FileHeader64::<object::Endianness>::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, head).ok()?;
    let asks = segments
        .iter()
        .any(|segment| segment.p_type(endian) == elf::PT_INTERP);
    Some((header.e_machine(endian), asks))
}

fn machine_of(arch: Arch) -> elf::Machine {
    match arch {
        Arch::X86_64 => elf::EM_X86_64,
        Arch::Aarch64 => elf::EM_AARCH64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_a_static_program_of_the_architecture() {
        let own = std::env::current_exe().expect("this test");
        let host = Arch::host().expect("one of ours");
        let other = Arch::ALL.into_iter().find(|arch| *arch != host);
        let other = other.expect("there are two");
        let error = |named: Option<&Path>, arch| {
            let error = Program::find(named, &own, arch).expect_err("no worker");
            (error.to_string(), error.advice())
        };
        let (text, advice) = error(None, other);
        assert!(text.contains("no worker for"), "{text}");
        assert!(
            advice.contains("crt-static") && advice.contains(other.as_str()),
            "{advice}"
        );
        let (text, _) = error(Some(&own), other);
        assert!(text.ends_with(&format!("is not for {other}")), "{text}");

        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("worker");
        let (text, _) = error(Some(&file), host);
        assert!(text.contains("cannot read"), "{text}");
        for bad in [&b""[..], b"#!/bin/sh\n", b"\x7fELF"] {
            std::fs::write(&file, bad).expect("written");
            let (text, _) = error(Some(&file), host);
            assert!(text.contains("no program"), "{text}");
        }
    }

    #[test]
    fn an_interpreter_makes_a_program_dynamic() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("a.c");
        std::fs::write(&source, "int main(void) { return 0; }").expect("written");
        let host = Arch::host().expect("one of ours");
        for (flags, is_static) in [
            (&["-static"][..], true),
            (&["-static-pie"], true),
            (&[], false),
        ] {
            let program = folder.path().join("a");
            let mut cc = std::process::Command::new("cc");
            let made = cc.args(flags).arg(&source).arg("-o").arg(&program).status();
            assert!(made.expect("a C compiler, which Rust needs too").success());
            let found = Program::find(Some(&program), &program, host);
            assert_eq!(found.is_ok(), is_static, "{flags:?}: {found:?}");
        }
    }
}
