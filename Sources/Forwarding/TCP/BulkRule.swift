/// When a direction moves its bytes by transfers, and when it goes back to receives and sends.
package struct BulkRule: BitwiseCopyable, Sendable {
    /// Into bulk when this many units came in full buffers of late. A unit is a page; a buffer that was not filled takes
    /// `shortCost` of them back.
    package var enterUnits = Limits.bulkEnterUnits
    package var shortCost = Limits.bulkShortCost
    /// Out of bulk after `leaveCount` transfers in a row of fewer bytes than this.
    package var leaveBytes = Limits.bulkLeaveBytes
    package var leaveCount = Limits.bulkLeaveCount
    /// Units that must come on top before a direction that the engine could not transfer asks again.
    package var refusedUnits = Limits.bulkRefusedUnits

    package init() {}

    /// Answers whether the direction goes into bulk.
    func received(_ count: Int, of bufferSize: Int, _ leg: inout TCPFlow.LegState) -> Bool {
        guard count == bufferSize else {
            leg.fullness = leg.fullness > shortCost ? leg.fullness &- shortCost : min(leg.fullness, 0)
            return false
        }
        guard !leg.isBulk else { return false }
        leg.fullness &+= Int16(truncatingIfNeeded: max(1, bufferSize >> 12))
        guard leg.fullness >= enterUnits else { return false }
        leg.isBulk = true
        leg.fullness = 0
        return true
    }

    func transferred(_ count: Int, _ leg: inout TCPFlow.LegState) {
        guard count < leaveBytes else {
            leg.fullness = 0
            return
        }
        leg.fullness &-= 1
        if leg.fullness <= -leaveCount {
            leg.isBulk = false
            leg.fullness = 0
        }
    }

    /// The engine can't transfer now. It is asked again after much more has come.
    func refused(_ leg: inout TCPFlow.LegState) {
        leg.isBulk = false
        leg.fullness = -refusedUnits
    }
}
