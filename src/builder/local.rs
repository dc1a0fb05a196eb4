//! Building on this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use crate::apk::fetch::Fetcher;
use crate::apk::keys::KeyError;
use crate::arch::Arch;
use crate::blocks;
use crate::builder::gather::{Gathered, GatheredLock, gather};
use crate::builder::packages::{Chosen, Indexes, PackagesError};
use crate::image::configure::{ConfigureError, configure};
use crate::image::disk::{DiskPlan, DiskSummary, write_disk};
use crate::image::error::ImageError;
use crate::image::grub::{BootTools, SerialPort};
use crate::image::initramfs::InitramfsPlan;
use crate::image::install::{
    InstallError, InstallPlan, Planned, SCRIPT_DEADLINE, install, newest_build,
};
use crate::image::jail::{End, Jail, JailError};
use crate::image::manifest::{
    IMAGE, ImageFile, KernelInfo, MANIFEST, Manifest, RootFileSystem, SCHEMA,
};
use crate::image::rootdir::RootDir;
use crate::image::sbom::{self, SBOM};
use crate::image::seal::{SealError, seal};
use crate::lock::Lock;
use crate::lock::file::BESIDE_MANIFEST;
use crate::lock::make::Maker;
use crate::plan::{Plan, Sources};
use crate::profile::Entry;
use crate::telemetry;
use crate::workdir::WorkDir;

/// What the work folder begins with: it lies in the output folder, so that finished files are only
/// renamed.
const WORK_PREFIX: &str = ".alpine-ami-build-";
/// A tool of the boot loader that has not ended by then never will.
const TOOL_DEADLINE: Duration = Duration::from_secs(120);

/// EC2's serial console.
const SERIAL: SerialPort = SerialPort {
    unit: 0,
    speed: 115_200,
};

/// A build that failed; what was in the output folder before is still there.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Keys named on the command line.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Repositories and packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// Filling the root.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The programs that the boot loader is made with.
    #[error("installing the boot loader's tools: {0}")]
    BootTools(#[source] InstallError),
    /// Bringing the profile into the root.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// Cleaning the root.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Making the disk.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Running the boot loader's tools.
    #[error(transparent)]
    Jail(#[from] JailError),
    /// This machine cannot run the image's programs.
    #[error(
        "an image for {arch} cannot be built here: this machine cannot run its packages' scripts ({handler} is missing)"
    )]
    Foreign {
        /// The image's architecture.
        arch: Arch,
        /// What would run them.
        handler: String,
    },
    /// The clock of this machine is wrong.
    #[error(
        "the clock of this machine stands before the build of its newest package ({newest} s after 1970)"
    )]
    Clock {
        /// When that was, in seconds since 1970.
        newest: u64,
    },
    /// The output folder.
    #[error("cannot write {path}: {source}")]
    Output {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BuildError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            BuildError::Packages(error) => error.advice(),
            BuildError::Install(error) | BuildError::BootTools(error) => {
                error.advice().map(str::to_owned)
            }
            BuildError::Configure(error) => error.advice(),
            BuildError::Image(error) => error.advice(),
            BuildError::Output { source, .. } => Some(
                match source.kind() {
                    io::ErrorKind::StorageFull => {
                        "make room, or name a folder on another disk with --out"
                    }
                    _ => "name a folder that can be written with --out",
                }
                .to_owned(),
            ),
            BuildError::Clock { .. } => Some(
                "set the clock: what this build makes must not be older than its packages"
                    .to_owned(),
            ),
            BuildError::Foreign { arch, .. } => Some(format!(
                "build it with --on ec2, or on a machine of that architecture; `render` and `profile check` work for {arch} everywhere"
            )),
            BuildError::Keys(_) => {
                Some("--keys-dir names a folder with public keys called *.pub".to_owned())
            }
            BuildError::Seal(error) => Some(error.advice().to_owned()),
            BuildError::Jail(_) => Some(
                "run again with -v; `unshare` and `setpriv` (util-linux) must work here".to_owned(),
            ),
        }
    }
}

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The folder for image and manifest.
    pub out: PathBuf,
    /// Where packages come from.
    pub sources: Sources,
    /// The packages that are taken, and no others; nothing takes the newest, and locks them.
    pub lock: Option<Lock>,
    /// This program's executable.
    pub program: PathBuf,
}

/// What is being done, for whoever watches.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Sees that images of an architecture can be built here. Packages' scripts run on this machine: one
/// of another architecture needs the kernel to know how (`binfmt_misc` with qemu-user).
///
/// # Errors
/// They cannot.
pub fn check_arch(arch: Arch) -> Result<(), BuildError> {
    let handler = format!("/proc/sys/fs/binfmt_misc/qemu-{arch}");
    match Arch::host() == Some(arch) || Path::new(&handler).exists() {
        true => Ok(()),
        false => Err(BuildError::Foreign { arch, handler }),
    }
}

/// Builds the image of `plan` and returns its manifest.
///
/// # Errors
/// See [`BuildError`]. Nothing half-done is left, and an earlier image stays as it was.
pub async fn build(
    plan: &Plan,
    options: &BuildOptions,
    fetcher: &Fetcher,
    progress: Progress<'_>,
) -> Result<Manifest, BuildError> {
    let made = !options.out.exists();
    let span =
        telemetry::span!("build", profile = plan.profile.name, arch = %plan.arch, on = "local");
    let result = telemetry::stage(span, build_in(plan, options, fetcher, progress)).await;
    if made && result.is_err() {
        // Only where it is empty: the error is the news, not a folder that stays.
        let _ = fs::remove_dir(&options.out);
    }
    result
}

async fn build_in(
    plan: &Plan,
    options: &BuildOptions,
    fetcher: &Fetcher,
    progress: Progress<'_>,
) -> Result<Manifest, BuildError> {
    let out_error = |source| BuildError::Output {
        path: options.out.clone(),
        source,
    };
    fs::create_dir_all(&options.out).map_err(out_error)?;
    let work = WorkDir::new(&options.out, WORK_PREFIX).map_err(out_error)?;
    let lock = match &options.lock {
        Some(lock) => lock.clone(),
        None => {
            progress("fetching indexes");
            let sources = &options.sources;
            let maker = Maker {
                plan,
                sources,
                fetcher,
            };
            maker.newest().await?
        }
    };
    for name in &lock.left_out {
        progress(&format!("left out {name}: no repository has it"));
    }
    progress(&format!("fetching {} packages", lock.packages().count()));
    let gathered = gather(fetcher, &options.sources, &lock).await?;

    let assembly = Assembly {
        plan,
        options,
        lock: &lock,
        gathered: &gathered,
        work: &work,
    };
    // Blocking from here on: unpacking, scripts and the disk have one thread of control.
    tokio::task::block_in_place(|| assembly.run(progress))
}

struct Assembly<'a> {
    plan: &'a Plan,
    options: &'a BuildOptions,
    lock: &'a Lock,
    gathered: &'a GatheredLock,
    work: &'a WorkDir,
}

impl Assembly<'_> {
    fn run(&self, progress: Progress<'_>) -> Result<Manifest, BuildError> {
        let GatheredLock {
            image: packages,
            boot,
        } = self.gathered;
        let epoch = newest_build(packages.iter().map(|one| &one.package));
        check_clock(epoch)?;
        let day = epoch / 86_400;
        progress(&format!("installing {} packages", packages.len()));
        let root = self.folder("root")?;
        let mut world = self.plan.world();
        let wanted = self.plan.optional().into_iter();
        world.extend(wanted.filter(|entry| !self.lock.left_out.contains(entry)));
        self.install(&root, packages, &world)?;
        check_interrupt()?;
        let handle = RootDir::open(&root)?;
        configure(&handle, self.plan, day)?;
        seal(&handle, &self.plan.tree, day)?;

        progress("making the boot loader and the disk");
        let tools = self.folder("tools")?;
        self.install(&tools, boot, &self.plan.boot_world())
            .map_err(BuildError::BootTools)?;
        check_interrupt()?;
        let image = self.work.path().join(IMAGE);
        let disk = self.disk(&root, &tools, &image, epoch)?;
        let manifest = self.manifest(&disk, &image, epoch)?;
        check_interrupt()?;
        self.publish(&image, &manifest)?;
        Ok(manifest)
    }

    fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        self.work.folder(name).map_err(|source| BuildError::Output {
            path: self.work.path().join(name),
            source,
        })
    }

    fn install(
        &self,
        root: &Path,
        packages: &[Gathered],
        world: &[crate::apk::dependency::Dependency],
    ) -> Result<(), InstallError> {
        let packages: Vec<_> = packages.iter().map(Gathered::planned).collect();
        let plan = InstallPlan {
            packages: &packages,
            world,
            arch: self.plan.arch.as_str(),
            keys: &self.options.sources.keys,
            program: &self.options.program,
            script_deadline: SCRIPT_DEADLINE,
        };
        install(root, &plan).map(drop)
    }

    fn disk(
        &self,
        root: &Path,
        tools: &Path,
        image: &Path,
        epoch: u64,
    ) -> Result<DiskSummary, BuildError> {
        let profile = &self.plan.profile;
        let disk = DiskPlan {
            size_bytes: profile.disk.size.0,
            arch: self.plan.arch,
            firmware: self.plan.firmware.iter().copied().collect(),
            root_label: profile.disk.label.to_string(),
            seed: seed(self.plan),
            epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
            initramfs: InitramfsPlan {
                policy: profile.kernel.initramfs,
                modules: words(&profile.kernel.modules),
                ..InitramfsPlan::default()
            },
            kernel_flavor: profile.kernel.flavor.to_string(),
            cmdline: words(&profile.kernel.cmdline).join(" "),
            title: format!("Alpine Linux {} ({})", profile.alpine, profile.name),
            menu_timeout: 0,
            serial: Some(SERIAL),
        };
        let run = |args: &[&str]| run_tool(&self.options.program, tools, args);
        let tools = BootTools {
            root: tools,
            run: &run,
        };
        Ok(write_disk(&disk, root, &tools, image)?)
    }

    fn manifest(
        &self,
        disk: &DiskSummary,
        image: &Path,
        epoch: u64,
    ) -> Result<Manifest, BuildError> {
        let profile = &self.plan.profile;
        let GatheredLock {
            image: packages,
            boot,
        } = self.gathered;
        let scan = fs::File::open(image)
            .and_then(|file| blocks::scan(&file))
            .map_err(|source| BuildError::Output {
                path: image.to_owned(),
                source,
            })?;
        Ok(Manifest {
            schema: SCHEMA,
            tool: concat!("alpine-ami ", env!("CARGO_PKG_VERSION")).to_owned(),
            profile: profile.name.clone(),
            version: profile.version.to_string(),
            alpine: alpine_release(self.lock, profile.alpine.to_string()),
            arch: self.plan.arch,
            firmware: self.plan.firmware.clone(),
            plan_digest: self.plan.digest.clone(),
            packages_digest: self.lock.packages_digest(),
            lock: Some(self.lock.info()),
            source_date_epoch: epoch,
            image: ImageFile::new(IMAGE, &scan),
            snapshot: None,
            root: RootFileSystem {
                uuid: disk.root_uuid.to_string(),
                label: disk.root_label.clone(),
                capacity: disk.root_use.capacity_bytes,
                used: disk.root_use.used_bytes,
            },
            kernel: KernelInfo {
                release: disk.kernel_release.clone(),
                cmdline: disk.cmdline.clone(),
                initramfs: disk.initramfs_modules.is_some(),
            },
            packages: packages.iter().map(Gathered::describe).collect(),
            boot_packages: boot.iter().map(Gathered::describe).collect(),
            left_out: self.lock.left_out.iter().map(ToString::to_string).collect(),
            checks: profile.checks.clone(),
            test_volumes: profile.test.volumes.clone(),
        })
    }

    /// Puts the finished image in its place. A manifest is beside it only when both are there, and
    /// all that can fail for want of room has been done before the earlier image goes.
    fn publish(&self, image: &Path, manifest: &Manifest) -> Result<(), BuildError> {
        let out = &self.options.out;
        let publish = || -> io::Result<()> {
            fs::File::open(image)?.sync_all()?;
            manifest.write(self.work.path())?;
            sbom::write(manifest, self.work.path())?;
            fs::write(self.work.path().join(BESIDE_MANIFEST), self.lock.to_text())?;
            match fs::remove_file(out.join(MANIFEST)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(image, out.join(IMAGE))?;
            for name in [SBOM, BESIDE_MANIFEST, MANIFEST] {
                fs::rename(self.work.path().join(name), out.join(name))?;
            }
            Ok(())
        };
        publish().map_err(|source| BuildError::Output {
            path: out.clone(),
            source,
        })
    }
}

/// Packages with their files, as [`install`] takes them.
pub fn planned<'a>(
    indexes: &'a Indexes,
    chosen: &'a Chosen,
    files: &[PathBuf],
) -> Vec<Planned<'a>> {
    chosen
        .selected
        .iter()
        .zip(files)
        .map(|(one, file)| Planned {
            package: &one.package,
            tag: indexes.repository(one).tag.as_deref(),
            file: file.clone(),
        })
        .collect()
}

/// Every time in the image that is later than `epoch` becomes `epoch`. So that this holds for all
/// that this build makes, and two builds agree, the build must come after it.
fn check_clock(epoch: u64) -> Result<(), BuildError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    match now {
        Ok(now) if now.as_secs() >= epoch => Ok(()),
        _ => Err(BuildError::Clock { newest: epoch }),
    }
}

/// Ctrl-C or SIGTERM between two steps that cannot be dropped half-way.
fn check_interrupt() -> Result<(), BuildError> {
    if crate::interrupt::raised() {
        return Err(BuildError::Install(InstallError::Interrupted));
    }
    Ok(())
}

/// The values of a list's entries as text.
fn words<T: ToString>(entries: &[Entry<T>]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| entry.value.to_string())
        .collect()
}

/// What every UUID of the disk comes from: the plan's digest.
fn seed(plan: &Plan) -> [u8; 32] {
    let mut seed = [0; 32];
    for (byte, pair) in seed.iter_mut().zip(plan.digest.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).expect("a digest is hexadecimal");
        *byte = u8::from_str_radix(pair, 16).expect("a digest is hexadecimal");
    }
    seed
}

/// `3.15.11`: the version of the package that says which release this is.
fn alpine_release(lock: &Lock, branch: String) -> String {
    ["alpine-release", "alpine-base"]
        .into_iter()
        .find_map(|name| {
            let package = lock.image.iter().find(|one| one.name == name)?;
            Some(package.version.upstream().to_owned())
        })
        .unwrap_or(branch)
}

/// Runs a program of the boot loader with the tools' folder as its root.
fn run_tool(program: &Path, tools: &Path, args: &[&str]) -> io::Result<Output> {
    use std::os::unix::process::ExitStatusExt as _;
    let (tool, args) = args.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut jail = Jail::start(program, tools).map_err(io::Error::other)?;
    let outcome = jail
        .run(tool, args, TOOL_DEADLINE)
        .map_err(io::Error::other)?;
    let status = match outcome.end {
        End::Exited(code) => std::process::ExitStatus::from_raw(code << 8),
        other => return Err(io::Error::other(other.to_string())),
    };
    Ok(Output {
        status,
        stdout: Vec::new(),
        stderr: outcome.output.into_bytes(),
    })
}
