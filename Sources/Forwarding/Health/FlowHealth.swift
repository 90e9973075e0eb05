/// What a flow owes to the health of the endpoint it tries or uses.
package struct FlowHealth: BitwiseCopyable, Sendable {
    /// The endpoint's row; 0 where nothing is to be told, or all was told.
    package var row: UInt32 = 0
    /// When it was connected, as `FlowTime`.
    package var connectedAt: UInt32 = 0
    /// Failures in a row that eject the endpoint.
    package var ejectAfter: UInt8 = 0
    /// Whether it is the one that tries an ejected endpoint.
    package var isProbe = false
    /// Connected, and the server has neither said a byte nor ended.
    package var isUnproven = false

    package init() {}

    /// The beginning of an attempt; of one whose endpoint shares its row with others, or is never ejected, nothing is told.
    init(row: Int, ejectAfter: UInt8) {
        guard ejectAfter > 0, row != Column.overflowRow else { return }
        self.row = UInt32(row)
        self.ejectAfter = ejectAfter
    }
}
