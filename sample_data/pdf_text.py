"""The text of make_pdf.py: a list of blocks for each PDF; words may be broken at `~`."""

from __future__ import annotations

from typing import Any

Block = tuple[str, Any]

GUIDE: list[Block] = [
    ("space", "120"),
    ("title", "Guide to GUI Programming in BBj"),
    ("p", "From the first window to a program that runs on the desktop and in the browser."),
    ("p", "This guide belongs to the sample data of the bbjrag project. It is short on purpose, "
          "and tells only what a programmer needs in the first weeks."),
    ("page", "one"),
    ("h1", "1 The Screen and Its Objects"),
    ("p", "A BBj program does not draw. It asks objects to show themselves, and those objects "
          "live in a tree: the API at the root, below it the screen, on the screen windows, in "
          "the windows controls. Whoever holds a control can find its window, and from the "
          "window all of its other controls."),
    ("h2", "1.1 BBjAPI and BBjSysGui"),
    ("p", "The function BBjAPI() returns the root. It needs no preparation and may be called as "
          "often as you like. The screen is opened once, as a channel with the alias X0, or in "
          "one step with openSysGui:"),
    ("code", 'rem the classical way: a channel\n'
             'sysgui = unt\n'
             'open(sysgui)"X0"\n'
             'sysgui! = BBjAPI().getSysGui()\n\n'
             'rem the short way\n'
             'sysgui! = BBjAPI().openSysGui("X0")'),
    ("p", "If the alias is not defined in config.bbx, the open fails with error 12, as for any "
          "file that is missing."),
    ("h2", "1.2 Top Level Windows"),
    ("p", "A top level window has a frame of its own. Position and size are pixels; the flags "
          "are a string of four bytes, in which each bit switches one property on."),
    ("code", 'window! = sysgui!.addWindow(100,100,400,250,"Stock",$00010003$)\n'
             'window!.setMinimumSize(300,200)'),
    ("p", "Build the window invisible, with flag $00000010$, and show it when the last control "
          "is in place. A window that fills before the eyes of its user looks slow even when it "
          "is not."),
    ("h2", "1.3 Child Windows"),
    ("p", "A child window is a sheet inside another window. It scrolls on its own, can be hidden "
          "as a whole, and gives its controls a coordinate system that begins at its corner. Tab "
          "controls are made of them: one child window for each tab."),
    ("code", 'detail! = window!.addChildWindow(300,10,40,380,200,"",$00000800$,\n'
             ':         sysgui!.getAvailableContext())\n'
             'tabs!.addTab("Details",detail!)'),
    ("page", "one"),
    ("h1", "2 Controls"),
    ("p", "There are about fifty kinds of controls. Five of them make up most business programs: "
          "static text, edit boxes, buttons, lists and grids. All share the methods of "
          "BBjControl: setText, setEnabled, setVisible, setLocation, setSize, setToolTipText."),
    ("h2", "2.1 Buttons"),
    ("p", "A button takes an identifier, a rectangle and a text. An ampersand in the text makes "
          "the letter after it the shortcut key, so that \"&amp;Save\" is pressed with Alt+S."),
    ("code", 'save! = window!.addButton(101,290,210,100,28,"&Save",$$)\n'
             'save!.setCallback(save!.ON_BUTTON_PUSH,"save_record")\n'
             'save!.setEnabled(0)'),
    ("h2", "2.2 Input Fields"),
    ("p", "For free text there is BBjEditBox, for formatted text BBjInputE with its mask, for "
          "numbers BBjInputN, for dates BBjInputD. A masked field refuses what does not fit "
          "while it is typed, which is friendlier than a message afterwards."),
    ("table", [
        ["Control", "Made with", "Use it for"],
        ["BBjEditBox", "addEditBox", "names, remarks, anything free"],
        ["BBjInputE", "addInputE", "codes with a fixed pattern"],
        ["BBjInputN", "addInputN", "amounts and quantities"],
        ["BBjInputD", "addInputD", "dates, with a calendar"],
        ["BBjCDropDown", "addCDropDown", "a choice from a list"],
    ]),
    ("h2", "2.3 Grids"),
    ("p", "A BBjStandardGrid shows rows and columns of text. Set the number of columns and rows "
          "first, then fill many cells with one call by handing over a BBjVector; cell by cell, "
          "each call crosses the network."),
    ("code", 'grid! = window!.addGrid(201,10,40,380,160,$0002$)\n'
             'grid!.setNumColumns(2)\n'
             'grid!.setNumRows(2)\n'
             'cells! = BBjAPI().makeVector()\n'
             'cells!.addItem("000001"); cells!.addItem("Bolt M8")\n'
             'cells!.addItem("000002"); cells!.addItem("Nut M8")\n'
             'grid!.setCellText(0,0,cells!)'),
    ("h2", "Example"),
    ("p", "The classical first exercise is a window with a list of items, a search field above "
          "it and two buttons below. Everything needed has been shown in this chapter."),
    ("code", 'window! = sysgui!.addWindow(80,80,400,300,"Items",$00010003$)\n'
             'search! = window!.addEditBox(101,10,10,380,25,"",$$)\n'
             'items! = window!.addListBox(102,10,45,380,200,"",$$)\n'
             'open! = window!.addButton(103,180,260,100,28,"&Open",$$)\n'
             'close! = window!.addButton(104,290,260,100,28,"&Close",$$)\n'
             'search!.setCallback(search!.ON_EDIT_MODIFY,"filter_items")\n'
             'items!.setCallback(items!.ON_LIST_DOUBLE_CLICK,"open_item")'),
    ("p", "Each change in the search field calls filter_items, which empties the list and adds "
          "the items whose text contains what was typed. With some thousand items, wait until "
          "the user pauses: start a timer of a third of a second at each key, and filter when it "
          "fires."),
    ("page", "one"),
    ("h1", "3 Events"),
    ("p", "After its windows are built a program has nothing to do until somebody moves the "
          "mouse. It says so with one statement, process_events, and from then on BBj calls it."),
    ("h2", "3.1 Callbacks"),
    ("p", "A callback ties a kind of event on one control to a label or a method. At a label the "
          "code ends with return; in a class the method takes the event as its argument."),
    ("code", 'class public StockWindow\n'
             '    field private BBjButton Save!\n'
             '    method public StockWindow(BBjTopLevelWindow window!)\n'
             '#Save! = window!.addButton(101,290,210,100,28,"&Save",$$)\n'
             '#Save!.setCallback(BBjButton.ON_BUTTON_PUSH,#this!,"onSave")\n'
             '    methodend\n'
             '    method public void onSave(BBjButtonPushEvent event!)\n'
             '        event!.getControl().setEnabled(0)\n'
             '    methodend\n'
             'classend'),
    ("h2", "3.2 The Event Loop of Old"),
    ("p", "Programs written for Visual PRO/5 read events themselves: a loop reads a record of "
          "eighteen bytes from the SYSGUI channel, takes the window and the control out of it "
          "and branches. BBj still runs such loops. Do not mix both in one program, though: an "
          "event read by the loop never reaches its callback."),
    ("code", 'dim event$:tmpl(sysgui)\n'
             'repeat\n'
             '    read record(sysgui,siz=len(event$))event$\n'
             '    if event.code$ = "B" and event.id = 101 then gosub save_record\n'
             'until event.code$ = "X"'),
    ("h2", "3.3 Long Work"),
    ("p", "While a callback runs, the window is deaf. Work of more than a second belongs into a "
          "timer that does a piece at a time, or into a program of its own that is started in "
          "the background and reports back. At least show a progress bar between two pieces, so "
          "that nobody presses the button again."),
    ("h2", "Example"),
    ("p", "To see what arrives, register the same method for several events and print "
          "event!.getEventName(). Ten minutes with this program explain more than a chapter."),
    ("code", 'show_event:\n'
             '    event! = BBjAPI().getLastEvent()\n'
             '    print event!.getEventName()," ",event!.getControl().getID()\n'
             'return'),
    ("page", "one"),
    ("h1", "4 Resource Files"),
    ("p", "Windows need not be built line by line. A form designer writes them into a resource, "
          "an ASCII file with the ending .arc, and the program opens it."),
    ("h2", "4.1 Opening a Resource"),
    ("code", 'resource = sysgui!.resOpen("stock.arc")\n'
             'window! = sysgui!.createTopLevelWindow(resource,101)\n'
             'save! = window!.getControl("save")\n'
             'sysgui!.resClose(resource)'),
    ("p", "Ask for controls by name, not by number. Numbers change when somebody tidies the "
          "form, names do not."),
    ("h2", "4.2 What Belongs Where"),
    ("p", "Layout, texts and colours belong into the resource, behaviour into the program. A "
          "resource per language is then all that a translation needs."),
    ("page", "two"),
    ("h1", "5 A Page of Advice"),
    ("h2", "5.1 For the User"),
    ("p", "Put the but~tons where they have al~ways been: the one that is pressed most at the "
          "right, Cancel beside it. Ne~ver move a con~trol because some other con~trol is hidden."),
    ("p", "Let the En~ter key do what the user ex~pects, and the Es~cape key un~do it. The "
          "key~board is fas~ter than the mouse for who~ever types three hun~dred invoices a day."),
    ("p", "A mes~sage says what hap~pened and what can be done. \"Er~ror 11\" is nei~ther; "
          "\"There is no cus~tom~er 4711. Check the num~ber or press F2 to search\" is both."),
    ("p", "Dis~able what can~not be done now, in~stead of com~plain~ing about it lat~er."),
    ("column", ""),
    ("h2", "5.2 For the Programmer"),
    ("p", "Give each win~dow a class of its own. The fields of the class are its con~trols, the "
          "meth~ods its call~backs, and a win~dow can then be opened twice."),
    ("p", "Keep data ac~cess out of call~backs. A pro~ce~dure that reads a cus~tom~er can be "
          "tested; a but~ton can~not."),
    ("p", "Never ask the con~trols what the data is. Read the fields once, when Save is pressed, "
          "into a string tem~plate, check it there, and write it."),
    ("p", "Free what you open: chan~nels, re~sourc~es, tim~ers. A forgotten tim~er keeps a "
          "closed win~dow alive."),
    ("page", "one"),
    ("h1", "6 From Visual PRO/5 to BBj"),
    ("p", "Visual PRO/5 builds its windows with mnemonics printed to the SYSGUI channel. They "
          "work in BBj, so an upgrade need not begin with the screens. Where you touch a "
          "program, replace them by methods; they are easier to read and report better errors."),
    ("h2", "6.1 Mnemonics and Methods"),
    ("table", [
        ["Mnemonic", "Method in BBj"],
        ["'WINDOW'", "BBjSysGui::addWindow"],
        ["'BUTTON'", "BBjWindow::addButton"],
        ["'EDIT'", "BBjWindow::addEditBox"],
        ["'LISTBOX'", "BBjWindow::addListBox"],
        ["'TITLE'", "BBjControl::setText"],
        ["'HIDE', 'SHOW'", "BBjControl::setVisible"],
        ["'FOCUS'", "BBjControl::focus"],
        ["'DESTROY'", "BBjControl::destroy"],
    ]),
    ("h2", "6.2 What to Watch"),
    ("p", "Fonts are a little wider than on Windows of old, so leave room at the right of texts. "
          "DLL calls are gone; look for a Java class that does the same. Printing through "
          "windows devices works on the client, not on the server, unless the alias says so."),
    ("p", "Programs that peek into memory with PEEK and those that depend on the order in which "
          "two windows get their first event need a careful look."),
    ("page", "one"),
    ("h1", "7 Client and Server"),
    ("p", "The interpreter runs on the server and the window on the client, often in another "
          "town. Between them is a network, and each question to a control is a journey."),
    ("h2", "7.1 Count the Round Trips"),
    ("p", "Setting something is cheap, because calls without an answer are collected and sent "
          "together. Asking is expensive: getText must wait. A loop that reads a thousand cells "
          "one by one waits a thousand times; getCellText with a range waits once."),
    ("code", 'rem slow: one journey for each row\n'
             'for row = 0 to grid!.getNumRows() - 1\n'
             '    total = total + num(grid!.getCellText(row,3))\n'
             'next row\n\n'
             'rem fast: the program keeps the data, the grid only shows it\n'
             'for row = 0 to prices!.size() - 1\n'
             '    total = total + num(prices!.getItem(row))\n'
             'next row'),
    ("h2", "7.2 Files on Both Sides"),
    ("p", "An open statement reads the server's disk. For a file on the user's machine ask the "
          "thin client:"),
    ("code", 'client! = BBjAPI().getThinClient()\n'
             'files! = client!.getClientFileSystem()\n'
             'copy! = files!.getClientFile("report.pdf")\n'
             'copy!.copyToClient("/srv/reports/report.pdf")'),
    ("h2", "7.3 In the Browser"),
    ("p", "With the Dynamic Web Client the same program runs in a browser. There is no desktop "
          "there: a program cannot start another program on the user's machine, and files come "
          "and go as downloads and uploads. Everything else in this guide holds."),
]  # fmt: skip

QUICK_CARD: list[Block] = [
    ("h1", "String Templates: a Quick Card"),
    ("p", "A string template gives names to the parts of a string. It is declared in one string, "
          "attached with DIM, and used like a record."),
    ("code", 'dim item$:"code:c(8),text:c(40*=10),price:n(10*=10),count:u(2)"\n'
             'item.code$ = "BOLT-M8"\n'
             'item.price = 0.12\n'
             'print item.code$,item.price:"##0.00"'),
    ("h2", "Field Types"),
    ("table", [
        ["Type", "Holds", "Example"],
        ["C(n)", "characters, fixed length", "code:c(8)"],
        ["C(n*)", "characters up to a delimiter", "text:c(40*=10)"],
        ["N(n)", "a number written as text", "price:n(10)"],
        ["I(n)", "a signed binary integer", "balance:i(4)"],
        ["U(n)", "an unsigned binary integer", "count:u(2)"],
        ["B(n)", "a business math number", "amount:b(8)"],
    ]),
    ("h2", "Looking into a Template"),
    ("p", "The function fattr lists what a template is made of: fattr(item$,\"\") returns the "
          "field names separated by line feeds, and fattr(item$,\"price\",\"type\") the type of "
          "one field. A general editor can be built from these two."),
    ("p", "An array of fields is declared with a count in brackets, month[12]:n(8*=10), and "
          "read as item.month[3]. Indexes begin at 1."),
]  # fmt: skip
