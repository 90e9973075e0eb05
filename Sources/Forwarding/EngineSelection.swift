package import Engine

/// Which engine a process runs on, and why.
package enum EngineSelection {
    package enum Name: String, Sendable {
        case ioUring = "io_uring"
        case epoll

        /// Makes a driver on the calling thread, which is then the only one that may use it.
        package func makeDriver(pipesMax: Int) throws(UringUnavailable) -> any Driver {
            switch self {
            case .ioUring:
                var settings = UringDriver.Settings()
                settings.pipesMax = pipesMax
                return try UringDriver(settings)
            case .epoll:
                var settings = EpollDriver.Settings()
                settings.pipesMax = pipesMax
                return EpollDriver(settings)
            }
        }
    }

    /// Walks the probe ladder. An engine asked for by name is used or refused, never replaced.
    package static func choose(_ choice: DataPlaneSettings.EngineChoice) throws(DataPlaneError) -> (Name, reason: String) {
        let uring = "\(EngineProbe.kernelRelease()); multishot accept, multishot receive, buffer ring"
        switch choice {
        case .epoll: return (.epoll, "asked for by --engine")
        case .ioUring:
            if let unavailable = EngineProbe.probeUring() {
                throw DataPlaneError("\(unavailable); use --engine auto or --engine epoll")
            }
            return (.ioUring, uring)
        case .auto:
            if let unavailable = EngineProbe.probeUring() { return (.epoll, unavailable.description) }
            return (.ioUring, uring)
        }
    }

    /// The engine `--engine auto` would use and why, for `--version`.
    package static func describe() -> EngineReport {
        guard let (name, reason) = try? choose(.auto) else { return EngineReport(name: "epoll", reason: "") }
        return EngineReport(name: name.rawValue, reason: reason)
    }
}
