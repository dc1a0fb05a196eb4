//! Random worlds of real packages.

use alpine_ami::apk::dependency::Dependency;
use alpine_ami::apk::index::IndexPackage;

/// Pseudo-random numbers that are the same everywhere: xorshift64*.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        mixed as usize % limit
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What nearly every image has: the conditions of most `install_if`, and the usual choices.
pub const COMMON: &[&str] = &[
    "alpine-base",
    "openrc",
    "docs",
    "bash",
    "bash-completion",
    "zsh",
    "fish",
    "openssh",
    "busybox-suid",
    "python3",
    "perl",
    "linux-virt",
    "linux-lts",
    "udev-init-scripts",
    "eudev",
    "mdevd",
    "dbus",
    "elogind",
    "polkit",
    "networkmanager",
    "gcc",
    "llvm17",
    "nodejs",
    "openjdk17-jre",
    "xorg-server",
    "gnome",
    "plasma",
    "xfce4",
    "s6",
    "systemd-boot",
    "doas",
    "sudo",
    "docker",
    "containerd",
    "cri-o",
    "kubelet",
    "rust",
    "go",
];

/// One wish: mostly a plain name, sometimes a version, a provided name or an exclusion.
///
/// With `tagged`, the packages from that number on need a tag, and mostly get one.
pub fn wish(random: &mut Random, packages: &[&IndexPackage], tagged: Option<usize>) -> String {
    let number = random.below(packages.len());
    let package = packages[number];
    let mut name = match random.below(8) {
        0 => (*random.pick(COMMON)).to_owned(),
        1 if !package.provides.is_empty() => random.pick(&package.provides).name.to_string(),
        _ => package.name.to_string(),
    };
    if random.one_in(12) {
        return format!("!{name}");
    }
    let plain = name == *package.name;
    let needs_tag = tagged.is_some_and(|first| number >= first);
    if tagged.is_some() && needs_tag != random.one_in(15) {
        name += "@community";
    }
    if plain && random.one_in(10) {
        let operator = random.pick(&["=", "<", "<=", ">", ">=", "~"]);
        let version = match random.below(3) {
            0 => package.version.upstream(),
            _ => package.version.as_str(),
        };
        return format!("{name}{operator}{version}");
    }
    name
}

/// A world of 1 to 40 wishes; small ones are drawn as often as large ones, which mostly contradict
/// themselves.
pub fn world(
    random: &mut Random,
    packages: &[&IndexPackage],
    tagged: Option<usize>,
) -> Vec<String> {
    let size = match random.below(4) {
        0 => 1,
        1 => 1 + random.below(4),
        2 => 1 + random.below(10),
        _ => 1 + random.below(40),
    };
    let mut world: Vec<(Dependency, String)> = Vec::new();
    for _ in 0..size {
        let text = wish(random, packages, tagged);
        let parsed: Dependency = text.parse().expect("a wish of our own");
        // apk replaces an entry of the same name.
        if !world.iter().any(|(other, _)| other.name == parsed.name) {
            world.push((parsed, text));
        }
    }
    world.into_iter().map(|(_, text)| text).collect()
}
