define({ DefaultUrl: "welcome.htm" });
