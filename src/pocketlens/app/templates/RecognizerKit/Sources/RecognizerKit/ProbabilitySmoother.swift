/// The exponential average of probabilities from frame to frame.
public struct ProbabilitySmoother: Sendable {
    private let weight: Double
    /// The average so far; empty before the first frame.
    public private(set) var average: [Double] = []

    /// `weight` is that of the newest frame, above 0 and at most 1. With 1 nothing is smoothed.
    public init(weight: Double) {
        self.weight = weight
    }

    /// Takes in one frame's probabilities and returns the average so far. The first frame, or one
    /// with another number of classes, starts the average anew.
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

    /// Forgets every frame: after a pause, or for another camera.
    public mutating func reset() {
        average = []
    }
}
