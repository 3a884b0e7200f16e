define({'/dwc/attributes of controls.htm':{i:[4],t:['Attributes of Controls'],b:['']},'/welcome.htm':{i:[0],t:['Welcome to the Help'],b:['']}});
