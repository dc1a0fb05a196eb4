//! A guest of a few dozen instructions, to see whether an accelerator really runs guests.
//!
//! It goes as far as kernels go at once: on x86_64 from the reset vector into 64-bit mode with
//! page tables. That is not for show: there are machines whose KVM runs 16-bit code well and
//! hangs as soon as a guest enables paging, and others where QEMU gives up on `-cpu host`.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use super::accel::Accel;
use super::command::{cpu_model, machine_type};
use super::process::{Program, Supervised};
use crate::arch::Arch;

/// Runs the guest on an emulator at `qemu`, on the same kind of machine and processor as
/// images are tested on; says why where it did not run to its end within `deadline`.
pub async fn probe(
    guest: Arch,
    accel: Accel,
    qemu: &Path,
    deadline: Duration,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("the probe of {accel} could not be started: {error}");
    let mut rom = tempfile::NamedTempFile::new().map_err(failed)?;
    io::Write::write_all(&mut rom, &rom_for(guest)).map_err(failed)?;
    let machine = Supervised::start(Program {
        path: qemu,
        arguments: &arguments(guest, accel, rom.path()),
        environment: &[],
        output: tempfile::tempfile().map_err(failed)?,
    })
    .map_err(failed)?;

    // Dropping the machine at the end kills it: nobody waits for one that hangs.
    match tokio::time::timeout(deadline, machine.wait()).await {
        Err(_) => Err(format!(
            "{accel} hangs: a guest of a few instructions did not end within {} s",
            deadline.as_secs_f32()
        )),
        Ok(Err(error)) => Err(failed(error)),
        Ok(Ok(status)) if ran(guest, status) => Ok(()),
        Ok(Ok(status)) => Err(format!(
            "{accel} does not run guests here: QEMU ended with {status}"
        )),
    }
}

fn arguments(guest: Arch, accel: Accel, rom: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-machine",
        machine_type(guest),
        "-accel",
        accel.as_str(),
        "-cpu",
        cpu_model(guest, accel),
        "-m",
        "16M",
    ]
    .map(Into::into)
    .into();
    if guest == Arch::X86_64 {
        arguments.extend(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"].map(Into::into));
    }
    arguments.push("-bios".into());
    arguments.push(rom.into());
    arguments
}

/// A value that nothing but our guest writes to the debug port.
const VALUE: u8 = 0x2a;

/// Whether QEMU ended as the guest has it end.
fn ran(guest: Arch, status: ExitStatus) -> bool {
    match guest {
        // isa-debug-exit: the value shifted by one, and a one.
        Arch::X86_64 => status.code() == Some(i32::from(VALUE) << 1 | 1),
        Arch::Aarch64 => status.success(),
    }
}

fn rom_for(guest: Arch) -> Vec<u8> {
    match guest {
        Arch::X86_64 => x86_64_rom(),
        Arch::Aarch64 => aarch64_rom(),
    }
}

/// 64 KiB that end at 4 GiB, and again at 1 MiB, where 16-bit code can be jumped to.
fn x86_64_rom() -> Vec<u8> {
    const START: usize = 0xff00;
    const RESET: usize = 0xfff0;
    #[rustfmt::skip]
    const CODE: &[u8] = &[
        // ff00, 16 bits: no interrupts; from the copy below 4 GiB to the one below 1 MiB.
        0xfa,                                     // cli
        0xea, 0x06, 0xff, 0x00, 0xf0,             // ljmp $0xf000, $0xff06
        // ff06: one entry in each table of a map of the first 2 MiB.
        0x31, 0xc0,                               // xor  %ax, %ax
        0x8e, 0xd8,                               // mov  %ax, %ds
        0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,       // movw $0x2003, 0x1000
        0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,       // movw $0x3003, 0x2000
        0xc7, 0x06, 0x00, 0x30, 0x83, 0x00,       // movw $0x0083, 0x3000
        0x2e, 0x66, 0x0f, 0x01, 0x16, 0x70, 0xff, // lgdtl %cs:0xff70
        // Physical address extension, the tables, long mode, then paging and protection at once.
        0x0f, 0x20, 0xe0,                         // mov  %cr4, %eax
        0x0c, 0x20,                               // or   $0x20, %al
        0x0f, 0x22, 0xe0,                         // mov  %eax, %cr4
        0x66, 0xb8, 0x00, 0x10, 0x00, 0x00,       // mov  $0x1000, %eax
        0x0f, 0x22, 0xd8,                         // mov  %eax, %cr3
        0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,       // mov  $0xc0000080, %ecx
        0x0f, 0x32,                               // rdmsr
        0x80, 0xcc, 0x01,                         // or   $1, %ah
        0x0f, 0x30,                               // wrmsr
        0x66, 0xb8, 0x01, 0x00, 0x00, 0x80,       // mov  $0x80000001, %eax
        0x0f, 0x22, 0xc0,                         // mov  %eax, %cr0
        0x66, 0xea, 0x52, 0xff, 0x0f, 0x00, 0x08, 0x00, // ljmpl $8, $0xfff52
        // ff52, 64 bits: end the machine.
        0xb0, VALUE,                              // mov  $VALUE, %al
        0x66, 0xba, 0xf4, 0x00,                   // mov  $0xf4, %dx
        0xee,                                     // out  %al, %dx
        0xf4,                                     // hlt
        0xeb, 0xfd,                               // jmp  to the hlt
        0x00, 0x00, 0x00, 0x00,
        // ff60: descriptors, none and 64-bit code.
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00,
        // ff70: where they are.
        0x0f, 0x00, 0x60, 0xff, 0x0f, 0x00,
    ];
    // The processor starts here: jmp to ff00.
    const RESET_CODE: &[u8] = &[0xe9, 0x0d, 0xff];

    let mut rom = vec![0; 64 * 1024];
    rom[START..START + CODE.len()].copy_from_slice(CODE);
    rom[RESET..RESET + RESET_CODE.len()].copy_from_slice(RESET_CODE);
    rom
}

/// The processor starts at 0, where the ROM is: PSCI's SYSTEM_OFF ends the machine.
fn aarch64_rom() -> Vec<u8> {
    [
        0x5280_0100_u32, // mov  w0, #0x0008
        0x72b0_8000,     // movk w0, #0x8400, lsl #16
        0xd400_0002,     // hvc  #0
        0x1400_0000,     // b    .
    ]
    .into_iter()
    .flat_map(u32::to_le_bytes)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::command::program_name;
    use crate::vm::process::find_program;

    /// The guest itself is right: emulation runs it to its end.
    #[tokio::test]
    async fn it_succeeds_where_guests_run() {
        for guest in Arch::ALL {
            let Some(qemu) = find_program(program_name(guest)) else {
                eprintln!("skipped for {guest}: no {} here", program_name(guest));
                continue;
            };
            let ran = probe(guest, Accel::Tcg, &qemu, Duration::from_secs(60)).await;
            assert_eq!(ran, Ok(()), "{guest}");
        }
    }

    #[tokio::test]
    async fn another_exit_status_is_no_proof() {
        let other = find_program("false").expect("false");
        let reason = probe(Arch::X86_64, Accel::Kvm, &other, Duration::from_secs(60))
            .await
            .expect_err("no guest ran");
        assert!(reason.contains("kvm does not run guests here"), "{reason}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let hanging = folder.path().join("qemu");
        std::fs::write(&hanging, "#!/bin/sh\nexec sleep 600\n").expect("written");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&hanging, executable).expect("set");
        let reason = probe(
            Arch::X86_64,
            Accel::Kvm,
            &hanging,
            Duration::from_millis(50),
        )
        .await
        .expect_err("no guest ran");
        assert!(reason.contains("kvm hangs"), "{reason}");
    }
}
