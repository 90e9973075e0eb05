package import DNS
import Synchronization

/// A zone on its way to a worker, and on the way back the one that it takes the place of: so that nothing of that is released on the
/// worker's thread.
package final class ZoneHandover: Sendable {
    private let zone: Mutex<Zone?>

    package init(_ zone: Zone) { self.zone = Mutex(zone) }

    /// Puts the zone that was handed over in the place of another. The worker's side.
    func exchange(_ current: inout Zone) {
        zone.withLock { zone in
            guard let new = zone else { return }
            zone = current
            current = new
        }
    }

    /// Lets go of the old one. The control side, once the worker has acknowledged.
    func release() { zone.withLock { $0 = nil } }
}
