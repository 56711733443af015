//! `ListenUSBFunction=`: the endpoints of a USB gadget function (FunctionFS, Documentation/usb/functionfs.rst). The kernel shows the
//! other endpoints once it has been told, through `ep0`, what the function is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{ListenError, Listener};

/// What a function says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsbFunction {
    /// File with its descriptors (`USBFunctionDescriptors=`).
    pub descriptors: Option<PathBuf>,
    /// File with its strings (`USBFunctionStrings=`).
    pub strings: Option<PathBuf>,
}

/// Opens `ep0` of the FunctionFS at `directory`, tells the kernel about the function, and opens the other endpoints, in the order of
/// their names.
///
/// # Errors
/// [`ListenError`] with the step; `EINVAL` where descriptors or strings are not named.
pub fn open_usb_function(directory: &Path, function: &UsbFunction) -> Result<Listener, ListenError> {
    let name = directory.display();
    let failed = |step| ListenError::step(step, &name);
    let mut control = open_endpoint(&directory.join("ep0"), true).map_err(failed("open ep0 of"))?;
    describe(&mut control, function).map_err(failed("describe the USB function at"))?;
    let mut listener = Listener::new(OwnedFd::from(control), None);
    listener.auxiliary = endpoints(directory).map_err(failed("open the endpoints of"))?;
    Ok(listener)
}

fn describe(control: &mut File, function: &UsbFunction) -> io::Result<()> {
    let (Some(descriptors), Some(strings)) = (&function.descriptors, &function.strings) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    // Each file in one write: the kernel takes it as one message.
    control.write_all(&fs::read(descriptors)?)?;
    control.write_all(&fs::read(strings)?)
}

fn endpoints(directory: &Path) -> io::Result<Vec<OwnedFd>> {
    let mut paths = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| path.as_ref().map_or(true, |path| is_data_endpoint(path)))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    paths.iter().map(|path| open_endpoint(path, false).map(OwnedFd::from)).collect()
}

fn is_data_endpoint(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name != "ep0")
}

fn open_endpoint(path: &Path, is_control: bool) -> io::Result<File> {
    // ep0 is waited for; a service uses the others as it likes.
    let flags = if is_control { libc::O_NONBLOCK } else { 0 };
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}
