//! The boot loader: GRUB's images for each firmware, and its configuration in the root.
//!
//! The images are made by `grub-mkimage` from a second root folder, the boot tools, so that
//! GRUB need not be in the image. They hold every module that is used and, as their built-in
//! configuration, three lines that find the root by its file system's UUID; all else is in
//! `/boot/grub/grub.cfg` there.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;
use uuid::Uuid;

use crate::arch::{Arch, Firmware};

use super::error::{ImageError, Result};
use super::rootdir::RootDir;

/// Where the configuration is, in the root.
pub const CONFIG_PATH: &str = "boot/grub/grub.cfg";

/// The folder of the tools root in which scratch folders are made.
const SCRATCH: &str = "tmp";

/// What is kept of a failed program's output, in bytes from its end.
const MESSAGE_MAX: usize = 2000;

/// Modules in every image. `gzio` reads kernels that are compressed as a whole (arm64).
const MODULES: [&str; 14] = [
    "part_gpt",
    "ext2",
    "gzio",
    "normal",
    "configfile",
    "search",
    "search_fs_uuid",
    "linux",
    "test",
    "echo",
    "sleep",
    "reboot",
    "terminal",
    "serial",
];

/// The root folder that holds GRUB, and how to run a program in it.
pub struct BootTools<'a> {
    /// The folder, on this machine; its `tmp` must be writable.
    pub root: &'a Path,
    /// Runs a program with that folder as its `/`; the first word is the program's path.
    /// What it makes must be readable to the caller.
    pub run: &'a dyn Fn(&[&str]) -> io::Result<Output>,
}

impl std::fmt::Debug for BootTools<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootTools")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// GRUB's name for an architecture with a firmware; also the name of its module folder, the
/// same on Alpine and Debian.
///
/// # Errors
/// [`ImageError::FirmwareArch`] where no such machine exists.
pub fn platform(arch: Arch, firmware: Firmware) -> Result<&'static str> {
    match (arch, firmware) {
        (Arch::X86_64, Firmware::Bios) => Ok("i386-pc"),
        (Arch::X86_64, Firmware::Uefi) => Ok("x86_64-efi"),
        (Arch::Aarch64, Firmware::Uefi) => Ok("arm64-efi"),
        (Arch::Aarch64, Firmware::Bios) => Err(ImageError::FirmwareArch { firmware, arch }),
    }
}

/// Where the loader finds the root.
#[derive(Debug, Clone)]
pub struct RootLocation {
    /// The root file system's UUID.
    pub uuid: Uuid,
    /// The root partition's number.
    pub partition: u32,
}

impl RootLocation {
    /// The configuration inside GRUB's images, for its rescue parser: no `if`, no loops.
    ///
    /// The hint names where to look first; a disk with the same UUID that was attached for
    /// repair comes later in the firmware's order than the one booted from.
    fn early_config(&self) -> String {
        format!(
            "search.fs_uuid {} root hd0,gpt{}\nset prefix=($root)/boot/grub\n",
            self.uuid, self.partition
        )
    }
}

/// GRUB for BIOS machines, before [`super::bios::embed`].
#[derive(Debug, Clone)]
pub struct BiosImages {
    /// `boot.img`, for the first sector.
    pub boot: Vec<u8>,
    /// `core.img`, for the BIOS boot partition.
    pub core: Vec<u8>,
}

/// Makes GRUB's images for BIOS machines.
pub fn bios_images(tools: &BootTools<'_>, arch: Arch, root: &RootLocation) -> Result<BiosImages> {
    let platform = platform(arch, Firmware::Bios)?;
    let boot_path = format!("usr/lib/grub/{platform}/boot.img");
    let boot = read_tool(tools, Firmware::Bios, &boot_path)?;
    let core = make_image(tools, Firmware::Bios, platform, &["biosdisk"], root)?;
    Ok(BiosImages { boot, core })
}

/// Makes GRUB as an EFI program.
pub fn efi_image(tools: &BootTools<'_>, arch: Arch, root: &RootLocation) -> Result<Vec<u8>> {
    let platform = platform(arch, Firmware::Uefi)?;
    // Without a way to ask for video modes, the loader for x86 says that it finds none.
    let video: &[&str] = match arch {
        Arch::X86_64 => &["efi_gop"],
        Arch::Aarch64 => &[],
    };
    make_image(tools, Firmware::Uefi, platform, video, root)
}

fn make_image(
    tools: &BootTools<'_>,
    firmware: Firmware,
    platform: &str,
    more_modules: &[&str],
    root: &RootLocation,
) -> Result<Vec<u8>> {
    let modules = format!("usr/lib/grub/{platform}");
    read_tool(tools, firmware, &format!("{modules}/kernel.img"))?;
    let (scratch, inside) = scratch(tools)?;
    let early = scratch.path().join("early.cfg");
    std::fs::write(&early, root.early_config()).map_err(ImageError::io("writing", &early))?;

    let modules = format!("/{modules}");
    let prefix = format!("(hd0,gpt{})/boot/grub", root.partition);
    let config = format!("{inside}/early.cfg");
    let output = format!("{inside}/image");
    let mut command = vec!["/usr/bin/grub-mkimage", "-d", &modules, "-O", platform];
    command.extend(["-p", &prefix, "-c", &config, "-o", &output]);
    command.extend(more_modules);
    command.extend(MODULES);
    run(tools, &command)?;
    // Not by its path: what the tools made may be a link to this machine's files.
    let mut image = Vec::new();
    RootDir::open(tools.root)?
        .exact_file(&output)?
        .read_to_end(&mut image)
        .map_err(ImageError::io("reading", scratch.path().join("image")))?;
    Ok(image)
}

/// A scratch folder in the tools root, and its path as the tools see it.
fn scratch(tools: &BootTools<'_>) -> Result<(TempDir, String)> {
    let parent = tools.root.join(SCRATCH);
    RootDir::open(tools.root)?
        .make_folder(SCRATCH)
        .map_err(ImageError::io("making folder", &parent))?;
    let folder = tempfile::Builder::new()
        .prefix("alpine-ami-")
        .tempdir_in(&parent)
        .map_err(ImageError::io("making a folder in", &parent))?;
    let name = folder.path().file_name().map(|name| name.to_string_lossy());
    let inside = format!("/{SCRATCH}/{}", name.unwrap_or_default());
    Ok((folder, inside))
}

/// Reads a file of the tools root; its absence means that GRUB for `firmware` is not there.
fn read_tool(tools: &BootTools<'_>, firmware: Firmware, path: &str) -> Result<Vec<u8>> {
    let found = RootDir::open(tools.root)?.read(path)?;
    found.ok_or_else(|| ImageError::LoaderMissing {
        firmware,
        path: path.to_owned(),
    })
}

fn run(tools: &BootTools<'_>, command: &[&str]) -> Result<()> {
    let output = (tools.run)(command).map_err(|source| ImageError::ToolStart {
        program: command.first().copied().unwrap_or_default().to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let end = &said[said.len().saturating_sub(MESSAGE_MAX)..];
    Err(ImageError::ToolFailed {
        command: command.join(" "),
        status: output.status,
        message: String::from_utf8_lossy(end).trim().to_owned(),
    })
}

/// A 16550 serial port that the menu and the loader's messages also go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialPort {
    /// The port's number; 0 is COM1, Linux's `ttyS0`.
    pub unit: u32,
    /// Bits per second.
    pub speed: u32,
}

/// What the menu in the root holds.
#[derive(Debug, Clone)]
pub struct MenuEntry {
    /// Shown to people.
    pub title: String,
    /// The kernel's path in the root, from `/`.
    pub kernel: String,
    /// The initramfs's path in the root, from `/`.
    pub initramfs: Option<String>,
    /// The kernel's whole command line.
    pub cmdline: String,
    /// Seconds that the menu waits.
    pub timeout: u32,
    /// The serial port, on machines with a BIOS. UEFI firmware has a console of its own on it,
    /// and both would show everything twice.
    pub serial: Option<SerialPort>,
}

/// The text of [`CONFIG_PATH`].
///
/// # Errors
/// [`ImageError::Plan`] where a value would break out of its line or its quotes.
pub fn config(entry: &MenuEntry) -> Result<String> {
    check_word("kernel command line", &entry.cmdline, &['\n', '\r', '\0'])?;
    check_word(
        "menu title",
        &entry.title,
        &['\n', '\r', '\0', '\'', '{', '}'],
    )?;
    let mut text = format!(
        "# Generated by alpine-ami when the image was built; the next build writes it anew.\n\
         set default=0\n\
         set timeout={}\n\n",
        entry.timeout
    );
    if let Some(SerialPort { unit, speed }) = entry.serial {
        text += &format!(
            "if [ \"$grub_platform\" = pc ]; then\n  \
               serial --unit={unit} --speed={speed}\n  \
               terminal_input serial console\n  \
               terminal_output serial console\n\
             fi\n\n"
        );
    }
    text += &format!(
        "menuentry '{}' {{\n  linux {} {}\n",
        entry.title,
        entry.kernel,
        quoted(&entry.cmdline)
    );
    if let Some(initramfs) = &entry.initramfs {
        text += &format!("  initrd {initramfs}\n");
    }
    text += "}\n";
    Ok(text)
}

/// A command line for GRUB's shell: words with characters that mean something to it are put
/// in single quotes, which GRUB passes on without them.
fn quoted(cmdline: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+@%".contains(c);
    let words = cmdline
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| {
            if word.chars().all(plain) {
                word.to_owned()
            } else {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
        });
    words.collect::<Vec<_>>().join(" ")
}

fn check_word(what: &'static str, value: &str, forbidden: &[char]) -> Result<()> {
    if value.contains(forbidden) {
        return Err(ImageError::Plan {
            what,
            value: value.escape_debug().to_string(),
            why: "holds a character that GRUB's configuration cannot",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn entry() -> MenuEntry {
        MenuEntry {
            title: "Alpine Linux".to_owned(),
            kernel: "/boot/vmlinuz-virt".to_owned(),
            initramfs: None,
            cmdline: "root=PARTUUID=1-2  console=ttyS0,115200n8 dyndbg=\"a +p;\"".to_owned(),
            timeout: 0,
            serial: Some(SerialPort {
                unit: 0,
                speed: 115_200,
            }),
        }
    }

    #[test]
    fn the_configuration_boots_the_kernel() {
        let text = config(&entry()).unwrap();
        assert!(text.starts_with("# Generated by alpine-ami"));
        assert!(text.contains("serial --unit=0 --speed=115200\n"));
        assert!(
            text.contains(
                "  linux /boot/vmlinuz-virt root=PARTUUID=1-2 console=ttyS0,115200n8 'dyndbg=\"a' '+p;\"'\n}"
            ),
            "{text}"
        );
        assert!(!text.contains("initrd"));
    }

    #[test]
    fn a_command_line_cannot_break_out() {
        let mut entry = entry();
        entry.cmdline = "quiet\n  reboot".to_owned();
        assert!(matches!(config(&entry), Err(ImageError::Plan { .. })));
        assert_eq!(quoted("a=$(reboot) it's"), "'a=$(reboot)' 'it'\\''s'");
    }

    #[test]
    fn each_platform_has_its_folder() {
        assert_eq!(
            platform(Arch::Aarch64, Firmware::Uefi).unwrap(),
            "arm64-efi"
        );
        assert!(platform(Arch::Aarch64, Firmware::Bios).is_err());
    }

    #[test]
    fn a_missing_loader_and_a_failing_program_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let fail = |_: &[&str]| {
            Ok(Output {
                status: ExitStatus::from_raw(256),
                stdout: vec![],
                stderr: b"grub-mkimage: error: no such module\n".to_vec(),
            })
        };
        let tools = BootTools {
            root: dir.path(),
            run: &fail,
        };
        let root = RootLocation {
            uuid: Uuid::nil(),
            partition: 3,
        };
        let error = efi_image(&tools, Arch::X86_64, &root).unwrap_err();
        assert!(matches!(error, ImageError::LoaderMissing { .. }), "{error}");

        let modules = dir.path().join("usr/lib/grub/x86_64-efi");
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::write(modules.join("kernel.img"), "").unwrap();
        let error = efi_image(&tools, Arch::X86_64, &root).unwrap_err();
        assert!(error.to_string().contains("no such module"), "{error}");
        assert_eq!(
            std::fs::read_dir(dir.path().join("tmp")).unwrap().count(),
            0
        );
    }
}
