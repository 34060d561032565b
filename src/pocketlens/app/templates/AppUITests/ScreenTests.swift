import XCTest

/// Goes through the app as a user would. In the simulator, too: it has no camera, but a finger.
final class ScreenTests: XCTestCase {
    override func setUp() {
        continueAfterFailure = false
    }

    @MainActor func testADrawingIsNamedAndTakenBack() {
        let app = launched("drawing")
        let canvas = element("canvas", of: app)
        XCTAssert(canvas.waitForExistence(timeout: 10))
        let undo = app.buttons["Undo"]
        XCTAssertFalse(undo.isEnabled)

        let top = canvas.coordinate(withNormalizedOffset: CGVector(dx: 0.5, dy: 0.2))
        let bottom = canvas.coordinate(withNormalizedOffset: CGVector(dx: 0.5, dy: 0.8))
        top.press(forDuration: 0.1, thenDragTo: bottom)
        let percent = app.descendants(matching: .any)
            .matching(NSPredicate(format: "label CONTAINS '%'")).firstMatch
        XCTAssert(percent.waitForExistence(timeout: 30), "the model gave no answer")
        XCTAssert(undo.isEnabled)

        undo.tap()
        XCTAssertFalse(undo.isEnabled)
        XCTAssertFalse(percent.exists)
    }

    @MainActor func testEveryWayCanBeReached() {
        let app = launched("drawing")
        app.tabBars.buttons["Photo"].tap()
        XCTAssert(app.buttons["Choose a photo"].waitForExistence(timeout: 10))
        app.tabBars.buttons["Draw"].tap()
        XCTAssert(element("canvas", of: app).waitForExistence(timeout: 10))
    }

    @MainActor func testTheScreensAreAccessible() throws {
        for way in ["drawing", "photo"] {
            let app = launched(way)
            try app.performAccessibilityAudit(
                for: [.hitRegion, .sufficientElementDescription, .trait]
            )
        }
    }

    @MainActor private func launched(_ way: String) -> XCUIApplication {
        let app = XCUIApplication()
        app.launchArguments = ["-way", way, "-AppleLanguages", "(en)", "-AppleLocale", "en_US"]
        app.launch()
        return app
    }

    @MainActor private func element(_ identifier: String, of app: XCUIApplication) -> XCUIElement {
        app.descendants(matching: .any)[identifier].firstMatch
    }
}
