//! How the kernel does it. The only unsafe code of the daemon lives here.
