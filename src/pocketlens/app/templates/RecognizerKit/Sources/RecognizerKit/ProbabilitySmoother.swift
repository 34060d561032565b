/// The exponential moving average of probabilities over frames.
public struct ProbabilitySmoother: Sendable {
    private let weight: Double
    /// The average so far; empty before the first frame.
    public private(set) var average: [Double] = []

    /// `weight` is the weight of the newest frame, in (0, 1]. With 1 there is no smoothing.
    public init(weight: Double) {
        self.weight = weight
    }

    /// Adds one frame's probabilities and returns the average. The first frame, or a frame with a
    /// different number of classes, starts a new average.
    public mutating func add(_ probabilities: [Double]) -> [Double] {
        if average.count == probabilities.count {
            for index in average.indices {
                average[index] += weight * (probabilities[index] - average[index])
            }
        } else {
            average = probabilities
        }
        return average
    }

    /// Forgets all frames, for example after a pause or when the camera is switched.
    public mutating func reset() {
        average = []
    }
}
