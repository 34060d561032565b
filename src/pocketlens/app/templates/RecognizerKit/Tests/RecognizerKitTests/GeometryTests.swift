import Foundation
import RecognizerKit
import Testing

@Suite struct GeometryTests {
    private let square = InputSpec(height: 28, width: 28, color: .gray, crop: .centerCrop)

    @Test func tallViewHasBarsAboveAndBelow() {
        let geometry = FrameGeometry(
            frameSize: CGSize(width: 720, height: 1280),
            viewSize: CGSize(width: 360, height: 800)
        )
        #expect(geometry.frameInView == CGRect(x: 0, y: 80, width: 360, height: 640))
        #expect(geometry.seenInView(by: square) == CGRect(x: 0, y: 220, width: 360, height: 360))
    }

    @Test func wideViewHasBarsAtTheSides() {
        let geometry = FrameGeometry(
            frameSize: CGSize(width: 1280, height: 720),
            viewSize: CGSize(width: 800, height: 360)
        )
        #expect(geometry.frameInView == CGRect(x: 80, y: 0, width: 640, height: 360))
        #expect(geometry.seenInView(by: square) == CGRect(x: 220, y: 0, width: 360, height: 360))
    }

    @Test func cropHasTheAspectRatioOfTheInput() {
        let wide = InputSpec(height: 32, width: 64, color: .rgb, crop: .centerCrop)
        let geometry = FrameGeometry(
            frameSize: CGSize(width: 720, height: 1280),
            viewSize: CGSize(width: 360, height: 640)
        )
        #expect(geometry.seenInView(by: wide) == CGRect(x: 0, y: 230, width: 360, height: 180))
    }

    @Test(arguments: [Crop.fit, Crop.fill])
    func otherCropsUseTheWholeFrame(crop: Crop) {
        let input = InputSpec(height: 28, width: 28, color: .gray, crop: crop)
        let geometry = FrameGeometry(
            frameSize: CGSize(width: 720, height: 1280),
            viewSize: CGSize(width: 360, height: 800)
        )
        #expect(geometry.seenInView(by: input) == geometry.frameInView)
    }

    @Test func emptyFrameGivesEmptyRectangles() {
        let geometry = FrameGeometry(frameSize: .zero, viewSize: CGSize(width: 360, height: 800))
        #expect(geometry.frameInView == .zero)
        #expect(geometry.seenInView(by: square).isEmpty)
    }
}
